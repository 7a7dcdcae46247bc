"""What `tools/release.py` is made of: versions and changelogs, targets, archives, SBOM, checks, builds."""
