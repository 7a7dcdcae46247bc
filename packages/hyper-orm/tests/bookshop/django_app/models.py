"""The bookshop as Django's models over the same tables: the oracle. Imported by Django, by way of `django_side`.

Reverse names are the ones that `models` declares, so that both sides write the same lookups.
"""

from django.contrib.postgres.fields import (
    ArrayField,
    BigIntegerRangeField,
    DateRangeField,
    DateTimeRangeField,
)
from django.db import models


class Country(models.Model):
    code = models.TextField(primary_key=True)
    name = models.CharField(max_length=80, unique=True)
    population = models.BigIntegerField(null=True)
    area = models.FloatField(null=True)

    class Meta:
        db_table = "country"
        managed = False


class Publisher(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100)
    country = models.ForeignKey(Country, models.RESTRICT, related_name="publishers")
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="imprints")
    founded = models.DateField(null=True)
    contacts = models.JSONField(default=dict)

    class Meta:
        db_table = "publisher"
        managed = False


class Author(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100)
    email = models.TextField(null=True, unique=True)
    born = models.DateField(null=True)
    died = models.DateField(null=True)
    country = models.ForeignKey(Country, models.SET_NULL, null=True, related_name="authors")
    mentor = models.ForeignKey("self", models.SET_NULL, null=True, related_name="pupils")
    is_active = models.BooleanField(default=True)
    rating = models.FloatField(null=True)
    aliases = ArrayField(models.TextField(), default=list)

    class Meta:
        db_table = "author"
        managed = False


class Profile(models.Model):
    id = models.BigAutoField(primary_key=True)
    author = models.OneToOneField(Author, models.CASCADE, related_name="profile")
    bio = models.TextField(default="")
    social = models.JSONField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "profile"
        managed = False


class Genre(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=50, unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="children")

    class Meta:
        db_table = "genre"
        managed = False


class Tag(models.Model):
    id = models.UUIDField(primary_key=True)
    label = models.CharField(max_length=40, unique=True)
    color = models.CharField(max_length=7, null=True)

    class Meta:
        db_table = "tag"
        managed = False


class Book(models.Model):
    id = models.BigAutoField(primary_key=True)
    title = models.CharField(max_length=200)
    subtitle = models.TextField(null=True)
    isbn = models.CharField(max_length=17, unique=True)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editor = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="edited")
    publisher = models.ForeignKey(Publisher, models.SET_NULL, null=True, related_name="books")
    genre = models.ForeignKey(Genre, models.RESTRICT, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    cost = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    pages = models.IntegerField(null=True)
    binding = models.CharField(max_length=10, default="soft")
    published = models.DateField(null=True)
    created = models.DateTimeField()
    in_print = models.BooleanField(default=True)
    weight = models.FloatField(null=True)
    keywords = ArrayField(models.TextField(), default=list)
    scores = ArrayField(models.BigIntegerField(), null=True)
    details = models.JSONField(default=dict)
    audience = BigIntegerRangeField(null=True)
    on_sale = DateRangeField(null=True)
    tags = models.ManyToManyField(Tag, through="BookTags", related_name="books")
    contributors = models.ManyToManyField(Author, through="Contribution", related_name="contributed")

    class Meta:
        db_table = "book"
        managed = False


class BookTags(models.Model):
    pk = models.CompositePrimaryKey("book_id", "tag_id")
    book = models.ForeignKey(Book, models.CASCADE, related_name="+")
    tag = models.ForeignKey(Tag, models.CASCADE, related_name="+")

    class Meta:
        db_table = "book_tags"
        managed = False


class Contribution(models.Model):
    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey(Book, models.CASCADE, related_name="contributions")
    author = models.ForeignKey(Author, models.CASCADE, related_name="contributions")
    role = models.CharField(max_length=20)
    share = models.DecimalField(max_digits=5, decimal_places=2)
    note = models.TextField(null=True)

    class Meta:
        db_table = "contribution"
        managed = False


class Customer(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100)
    email = models.TextField(unique=True)
    country = models.ForeignKey(Country, models.SET_NULL, null=True, related_name="customers")
    referrer = models.ForeignKey("self", models.SET_NULL, null=True, related_name="referred")
    joined = models.DateField()
    tier = models.CharField(max_length=10, default="basic")
    balance = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    prefs = models.JSONField(null=True)

    class Meta:
        db_table = "customer"
        managed = False


class Review(models.Model):
    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey(Book, models.CASCADE, related_name="reviews")
    customer = models.ForeignKey(Customer, models.SET_NULL, null=True, related_name="reviews")
    stars = models.SmallIntegerField()
    body = models.TextField(null=True)
    written = models.DateTimeField()
    helpful = models.IntegerField(default=0)

    class Meta:
        db_table = "review"
        managed = False


class Order(models.Model):
    id = models.BigAutoField(primary_key=True)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    placed = models.DateTimeField()
    shipped = models.DateTimeField(null=True)
    status = models.CharField(max_length=10, default="new")
    coupon = models.TextField(null=True)
    delivery = DateTimeRangeField(null=True)

    class Meta:
        db_table = "order"
        managed = False


class OrderLine(models.Model):
    pk = models.CompositePrimaryKey("order_id", "position")
    order = models.ForeignKey(Order, models.CASCADE, related_name="lines")
    position = models.IntegerField()
    book = models.ForeignKey(Book, models.RESTRICT, related_name="lines")
    quantity = models.IntegerField()
    unit_price = models.DecimalField(max_digits=8, decimal_places=2)
    discount = models.DecimalField(max_digits=5, decimal_places=2, null=True)

    class Meta:
        db_table = "order_line"
        managed = False


class Shop(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=60)
    city = models.TextField()
    opens = models.TimeField(null=True)
    lease = models.DurationField(null=True)
    manager = models.OneToOneField(Customer, models.SET_NULL, null=True, related_name="managed_shop")

    class Meta:
        db_table = "shop"
        managed = False


class Stock(models.Model):
    pk = models.CompositePrimaryKey("shop_id", "book_id")
    shop = models.ForeignKey(Shop, models.CASCADE, related_name="stock")
    book = models.ForeignKey(Book, models.CASCADE, related_name="stock")
    count = models.IntegerField()
    counted = models.DateField(null=True)

    class Meta:
        db_table = "stock"
        managed = False


MODELS = (
    Country,
    Publisher,
    Author,
    Profile,
    Genre,
    Tag,
    Book,
    BookTags,
    Contribution,
    Customer,
    Review,
    Order,
    OrderLine,
    Shop,
    Stock,
)
