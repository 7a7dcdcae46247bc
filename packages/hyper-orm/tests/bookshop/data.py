"""The bookshop's rows: seeded, so the same in every run, with the values that queries get wrong planted among them.

NULLs in every nullable column, ties, empty strings and arrays, LIKE's special characters, letters that change their
length with their case, dates at the ends of years, JSON null beside SQL NULL, ranges that are empty or unbounded.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final
from uuid import UUID

from hyperdjango.database import Range

SEED: Final = 20_260_724
COUNTS: Final = {
    "publisher": 60,
    "author": 600,
    "genre": 24,
    "tag": 40,
    "book": 8_000,
    "customer": 4_000,
    "review": 26_000,
    "order": 17_000,
    "shop": 12,
}
Rows = list[Sequence[Any]]

COUNTRIES: Final = (
    ("at", "Austria"), ("br", "Brazil"), ("ca", "Canada"), ("ci", "Côte d'Ivoire"), ("cn", "China"), ("de", "Germany"),
    ("dk", "Denmark"), ("eg", "Egypt"), ("fr", "France"), ("gr", "Greece"), ("in", "India"), ("is", "Iceland"),
    ("jp", "Japan"), ("ke", "Kenya"), ("mx", "Mexico"), ("nl", "Netherlands"), ("no", "Norway"), ("tr", "Türkiye"),
    ("tv", "Tuvalu"), ("xx", "100% _nowhere_\\"),
)  # fmt: skip
GENRES: Final = (
    "fiction", "crime", "fantasy", "science fiction", "romance", "poetry", "drama", "history", "biography",
    "cooking", "travel", "science", "mathematics", "physics", "biology", "art", "music", "comics", "children",
    "law", "economics", "religion", "philosophy", "reference",
)  # fmt: skip
WORDS: Final = (
    "river", "Night", "GLASS", "the", "of", "winter", "Straße", "straße", "café", "İstanbul", "50%", "a_b",
    "back\\slash",
    "O'Neil", "two", "Two", "stone", "garden", "Letter", "letters", "日本", "🙂", "salt", "iron", "moon", "Moon",
)  # fmt: skip
FIRST: Final = (
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Eve",
    "Femi",
    "Greta",
    "Hugo",
    "Ines",
    "Jo",
    "ada",
    "Željka",
)
LAST: Final = (
    "Abel",
    "Brandt",
    "Castro",
    "d'Arc",
    "Eriksen",
    "Fo",
    "Güneş",
    "Haas",
    "Ito",
    "Joyce",
    "O_Hara",
    "%",
)
DAYS: Final = (
    date(1999, 12, 31), date(2000, 1, 1), date(2000, 2, 29), date(2018, 12, 30), date(2018, 12, 31), date(2019, 1, 1),
    date(2020, 2, 29), date(2020, 12, 31), date(2021, 1, 3), date(2021, 1, 4), date(2024, 6, 1), date(2024, 6, 30),
)  # fmt: skip
MOMENTS: Final = (
    datetime(2023, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, tzinfo=UTC), datetime(2024, 6, 15, 0, 0, 0, 1, tzinfo=UTC),
)  # fmt: skip


class Maker:
    """Makes every table's rows; a table comes after those that its foreign keys lead to."""

    def __init__(self, seed: int = SEED) -> None:
        self.random = Random(seed)
        self.tags: list[UUID] = []
        self.prices: list[Decimal] = []

    def tables(self) -> Iterator[tuple[str, Rows]]:
        """Yield each table's name and rows, in the order in which they can be loaded."""
        names = (
            "country",
            "publisher",
            "author",
            "profile",
            "genre",
            "tag",
            "book",
            "book_tags",
            "contribution",
        )
        for name in (*names, "customer", "review", "order", "order_line", "shop", "stock"):
            yield name, list(getattr(self, name)())

    def maybe(self, value: Any, share: float = 0.8) -> Any:
        return value if self.random.random() < share else None

    def country(self) -> Iterator[Sequence[Any]]:
        for code, name in COUNTRIES:
            yield (
                code,
                name,
                self.maybe(self.random.randrange(10_000, 10**9)),
                self.maybe(self.random.uniform(26, 9e6)),
            )

    def publisher(self) -> Iterator[Sequence[Any]]:
        for key in range(1, COUNTS["publisher"] + 1):
            contacts = self.random.choice(
                (
                    {},
                    {"phone": "1", "city": "Oslo"},
                    {"city": None},
                    {"people": [{"name": "Ada"}, {"name": "Bo"}]},
                )
            )
            parent = self.random.randrange(1, key) if key > 10 and key % 2 else None
            code = self.random.choice(COUNTRIES[:-2])[0]
            yield key, f"{self.words(2)} Press", code, parent, self.maybe(self.day(1900, 2020)), contacts

    def author(self) -> Iterator[Sequence[Any]]:
        for key in range(1, COUNTS["author"] + 1):
            born = self.maybe(self.day(1900, 2000))
            died = born and self.maybe(born + timedelta(self.random.randrange(9_000, 30_000)), 0.4)
            mentor = self.random.randrange(1, key) if key > 5 and self.random.random() < 0.6 else None
            aliases = self.random.sample(WORDS, self.random.randrange(0, 4))
            yield (
                key,
                f"{self.random.choice(FIRST)} {self.random.choice(LAST)}",
                self.maybe(f"author{key}@{self.random.choice(('example.org', 'Example.com', 'b_c.test'))}"),
                born,
                died,
                self.maybe(self.random.choice(COUNTRIES[:15])[0]),
                mentor,
                self.random.random() < 0.7,
                self.maybe(self.random.randrange(0, 21) / 4),
                aliases,
            )

    def profile(self) -> Iterator[Sequence[Any]]:
        key = 0
        for author in range(1, COUNTS["author"] + 1):
            if self.random.random() < 0.7:
                key += 1
                social = self.maybe(
                    {
                        "site": f"https://a{author}.test",
                        "followers": self.random.randrange(0, 1000),
                        "tags": ["x", "y"],
                    }
                )
                yield key, author, self.random.choice(("", self.words(6))), social, self.maybe(self.moment())

    def genre(self) -> Iterator[Sequence[Any]]:
        for key, name in enumerate(GENRES, start=1):
            yield key, name, self.random.randrange(1, key) if key > 6 and self.random.random() < 0.8 else None

    def tag(self) -> Iterator[Sequence[Any]]:
        for number in range(COUNTS["tag"]):
            self.tags.append(UUID(int=self.random.getrandbits(128), version=4))
            yield self.tags[-1], f"tag {number}", self.maybe(f"#{self.random.getrandbits(24):06x}", 0.5)

    def book(self) -> Iterator[Sequence[Any]]:
        for key in range(1, COUNTS["book"] + 1):
            yield self._book(key)

    def _book(self, key: int) -> Sequence[Any]:
        random = self.random
        # Authors above 500 have no books, so that there are rows without any on every far end.
        self.prices.append(Decimal(random.randrange(0, 9_999)) / 100)
        scores = self.maybe([random.randrange(0, 6) for _ in range(random.randrange(0, 5))])
        low = random.randrange(0, 18)
        audience = random.choice(
            (Range(low, low + random.randrange(1, 9)), Range(low, None), Range(empty=True), None)
        )
        start = self.day(2018, 2024)
        on_sale = random.choice(
            (Range(start, start + timedelta(random.randrange(1, 400))), Range(None, start), None)
        )
        return (
            key,
            self.words(random.randrange(1, 4)),
            self.maybe(random.choice(("", self.words(4))), 0.5),
            f"978-{key:09d}",
            random.randrange(1, 501),
            self.maybe(random.randrange(1, 601), 0.5),
            self.maybe(random.randrange(1, COUNTS["publisher"] - 5)),
            random.randrange(1, len(GENRES) - 2),
            self.prices[-1],
            self.maybe(Decimal(random.randrange(0, 5_000)) / 100, 0.6),
            self.maybe(random.randrange(0, 1_200)),
            random.choice(("hard", "soft", "soft", "spiral")),
            self.maybe(random.choice(DAYS) if random.random() < 0.2 else self.day(1990, 2024)),
            self.moment(),
            random.random() < 0.8,
            self.maybe(random.randrange(1, 4_000) / 1_000, 0.7),
            random.sample(WORDS, random.randrange(0, 5)),
            scores,
            self._details(),
            audience,
            on_sale,
        )

    def _details(self) -> dict[str, Any]:
        random = self.random
        details: dict[str, Any] = {}
        if random.random() < 0.7:
            details["language"] = random.choice(("en", "de", "EN", None))
        if random.random() < 0.5:
            details["size"] = {"height": random.randrange(10, 40), "width": random.choice((10, 12.5, "wide"))}
        if random.random() < 0.4:
            details["awards"] = [{"year": random.randrange(2000, 2024), "name": random.choice(WORDS)}]
        if random.random() < 0.2:
            details['a key\'s "name"'] = random.choice((True, False, 0, 1, "1"))
        return details

    def book_tags(self) -> Iterator[Sequence[Any]]:
        for book in range(1, COUNTS["book"] + 1):
            for tag in self.random.sample(self.tags[:-4], self.random.randrange(0, 4)):
                yield book, tag

    def contribution(self) -> Iterator[Sequence[Any]]:
        key = 0
        for book in range(1, COUNTS["book"] + 1):
            for role in ("translator", "illustrator", "foreword"):
                if self.random.random() < 0.3:
                    key += 1
                    share = Decimal(self.random.randrange(0, 5_000)) / 100
                    note = self.maybe(self.random.choice(("", self.words(3))), 0.5)
                    yield key, book, self.random.randrange(1, COUNTS["author"] - 30), role, share, note

    def customer(self) -> Iterator[Sequence[Any]]:
        for key in range(1, COUNTS["customer"] + 1):
            prefs = self.random.choice(
                (None, {}, {"news": True}, {"news": False, "n": 1}, {"n": 2.5, "list": [1, 2, 3]})
            )
            yield (
                key,
                f"{self.random.choice(FIRST)} {self.random.choice(LAST)}",
                f"c{key}@example.org",
                self.maybe(self.random.choice(COUNTRIES)[0]),
                self.random.randrange(1, key) if key > 10 and self.random.random() < 0.4 else None,
                self.random.choice(DAYS) if self.random.random() < 0.2 else self.day(2015, 2024),
                self.random.choice(("basic", "basic", "silver", "gold")),
                Decimal(self.random.randrange(-10_000, 100_000)) / 100,
                prefs,
            )

    def review(self) -> Iterator[Sequence[Any]]:
        for key in range(1, COUNTS["review"] + 1):
            yield (
                key,
                self.random.randrange(1, COUNTS["book"] - 1_000),
                self.maybe(self.random.randrange(1, COUNTS["customer"] - 500)),
                self.random.randrange(1, 6),
                self.maybe(self.random.choice(("", self.words(5)))),
                self.moment(),
                self.random.choice((0, 0, 1, 2, 7)),
            )

    def order(self) -> Iterator[Sequence[Any]]:
        for key in range(1, COUNTS["order"] + 1):
            placed = self.moment()
            shipped = self.maybe(placed + timedelta(seconds=self.random.randrange(0, 900_000)), 0.7)
            delivery = self.maybe(Range(placed, placed + timedelta(days=3)), 0.5)
            status = self.random.choice(("new", "paid", "shipped", "returned"))
            coupon = self.maybe(self.random.choice(("", "SPRING", "spring", "10%")), 0.3)
            yield (
                key,
                self.random.randrange(1, COUNTS["customer"] - 800),
                placed,
                shipped,
                status,
                coupon,
                delivery,
            )

    def order_line(self) -> Iterator[Sequence[Any]]:
        for order in range(1, COUNTS["order"] + 1):
            for position in range(1, self.random.randrange(1, 5)):
                book = self.random.randrange(1, COUNTS["book"] - 500)
                discount = self.maybe(Decimal(self.random.randrange(0, 300)) / 100, 0.4)
                yield order, position, book, self.random.randrange(1, 6), self.prices[book - 1], discount

    def shop(self) -> Iterator[Sequence[Any]]:
        for key in range(1, COUNTS["shop"] + 1):
            opens = self.maybe(time(self.random.randrange(6, 12), self.random.choice((0, 30))))
            lease = self.maybe(timedelta(days=self.random.randrange(30, 4_000), hours=key))
            city = self.random.choice(("Oslo", "oslo", "Köln", "Paris"))
            yield key, f"{self.words(1)} books {key}", city, opens, lease, key * 7 if key % 3 else None

    def stock(self) -> Iterator[Sequence[Any]]:
        for shop in range(1, COUNTS["shop"]):
            for book in sorted(self.random.sample(range(1, COUNTS["book"] - 1_000), 500)):
                yield shop, book, self.random.randrange(0, 30), self.maybe(self.day(2023, 2024))

    def words(self, count: int) -> str:
        return " ".join(self.random.choice(WORDS) for _ in range(count))

    def day(self, first: int, last: int) -> date:
        return date(first, 1, 1) + timedelta(
            self.random.randrange((date(last, 12, 31) - date(first, 1, 1)).days)
        )

    def moment(self) -> datetime:
        if self.random.random() < 0.02:
            return self.random.choice(MOMENTS)
        start = datetime(2022, 1, 1, tzinfo=UTC)
        return start + timedelta(microseconds=self.random.randrange(0, 3 * 365 * 86_400 * 1_000_000))
