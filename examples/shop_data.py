"""What the shop sells on its first day: customers, products and the orders so far."""

from typing import NamedTuple


class SeedProduct(NamedTuple):
    """One row of the catalogue; prices are in cents."""

    sku: str
    name: str
    price: int
    purchase_price: int
    stock: int


CUSTOMERS = [
    ("Amara Okafor", "amara@example.com"),
    ("Jonas Lindqvist", "jonas@example.com"),
    ("Mei Tanaka", "mei@example.com"),
    ("Café Verde", "orders@cafeverde.example"),
]

PRODUCTS: dict[str, list[SeedProduct]] = {
    "coffee": [
        SeedProduct("COF-0001", "Ethiopia Yirgacheffe, washed, 250 g", 1290, 640, 80),
        SeedProduct("COF-0002", "Ethiopia Guji, natural, 250 g", 1390, 710, 54),
        SeedProduct("COF-0003", "Kenya Nyeri AA, 250 g", 1590, 830, 36),
        SeedProduct("COF-0004", "Colombia Huila, 250 g", 1150, 560, 120),
        SeedProduct("COF-0005", "Guatemala Antigua, 250 g", 1190, 590, 95),
        SeedProduct("COF-0006", "Brazil Cerrado, 1 kg", 2690, 1380, 70),
        SeedProduct("COF-0007", "Sumatra Mandheling, 250 g", 1240, 615, 42),
        SeedProduct("COF-0008", "House espresso blend, 1 kg", 2490, 1190, 150),
        SeedProduct("COF-0009", "Decaf espresso, water process, 250 g", 1190, 600, 33),
        SeedProduct("COF-0010", "Panama Geisha, 100 g", 3490, 2100, 6),
    ],
    "tea": [
        SeedProduct("TEA-0001", "Darjeeling first flush, 100 g", 1490, 760, 40),
        SeedProduct("TEA-0002", "Assam golden tips, 100 g", 990, 430, 65),
        SeedProduct("TEA-0003", "Earl Grey with bergamot oil, 100 g", 790, 310, 110),
        SeedProduct("TEA-0004", "Sencha, spring harvest, 100 g", 1290, 620, 58),
        SeedProduct("TEA-0005", "Gyokuro, shaded, 50 g", 1990, 1120, 12),
        SeedProduct("TEA-0006", "Matcha for whisking, 30 g", 2390, 1290, 25),
        SeedProduct("TEA-0007", "Oolong, roasted, 100 g", 1390, 690, 31),
        SeedProduct("TEA-0008", "Pu-erh cake, 357 g", 3290, 1750, 9),
        SeedProduct("TEA-0009", "Rooibos with vanilla, 100 g", 690, 250, 90),
        SeedProduct("TEA-0010", "Peppermint leaves, 80 g", 590, 190, 75),
    ],
    "brewing": [
        SeedProduct("BRW-0001", "Pour-over dripper, ceramic, size 2", 2490, 1230, 28),
        SeedProduct("BRW-0002", "Paper filters, size 2, 100 pieces", 490, 160, 300),
        SeedProduct("BRW-0003", "French press, 1 litre", 3490, 1720, 22),
        SeedProduct("BRW-0004", "Moka pot, 6 cups", 2990, 1480, 18),
        SeedProduct("BRW-0005", "Hand grinder, steel burrs", 8990, 5200, 11),
        SeedProduct("BRW-0006", "Gooseneck kettle, 0.9 litre", 6490, 3600, 14),
        SeedProduct("BRW-0007", "Scale with timer, 0.1 g", 3990, 1990, 20),
        SeedProduct("BRW-0008", "Cold brew bottle, 0.75 litre", 2290, 1050, 35),
        SeedProduct("BRW-0009", "Glass teapot with strainer, 1.2 litres", 2790, 1340, 16),
        SeedProduct("BRW-0010", "Bamboo matcha whisk", 1490, 640, 0),
    ],
    "cups": [
        SeedProduct("CUP-0001", "Espresso cup, porcelain, set of 2", 1690, 790, 44),
        SeedProduct("CUP-0002", "Cappuccino cup, porcelain, set of 2", 1990, 930, 40),
        SeedProduct("CUP-0003", "Stoneware mug, blue, 300 ml", 1490, 650, 62),
        SeedProduct("CUP-0004", "Stoneware mug, sand, 300 ml", 1490, 650, 57),
        SeedProduct("CUP-0005", "Double-walled glass, 250 ml, set of 2", 1890, 880, 30),
        SeedProduct("CUP-0006", "Travel cup, steel, 350 ml", 2490, 1180, 48),
        SeedProduct("CUP-0007", "Matcha bowl, hand-made", 3990, 2250, 7),
        SeedProduct("CUP-0008", "Enamel mug, 400 ml", 1190, 480, 85),
        SeedProduct("CUP-0009", "Tasting bowls, set of 6", 4490, 2400, 5),
        SeedProduct("CUP-0010", "Tea glass with handle, 200 ml", 790, 290, 96),
    ],
    "sweets": [
        SeedProduct("SWE-0001", "Dark chocolate 72 %, 80 g", 490, 210, 180),
        SeedProduct("SWE-0002", "Milk chocolate with sea salt, 80 g", 490, 210, 160),
        SeedProduct("SWE-0003", "Almond cantuccini, 200 g", 690, 280, 70),
        SeedProduct("SWE-0004", "Butter shortbread, 150 g", 590, 240, 88),
        SeedProduct("SWE-0005", "Coffee beans in chocolate, 125 g", 790, 340, 64),
        SeedProduct("SWE-0006", "Candied ginger, 150 g", 550, 220, 52),
        SeedProduct("SWE-0007", "Lemon curd, 210 g", 650, 260, 41),
        SeedProduct("SWE-0008", "Blossom honey, 250 g", 890, 430, 39),
        SeedProduct("SWE-0009", "Cane sugar cubes, 500 g", 450, 150, 105),
        SeedProduct("SWE-0010", "Oat biscuits, 180 g", 520, 200, 77),
    ],
    "books": [
        SeedProduct("BOK-0001", "Coffee from seed to cup", 2990, 1800, 15),
        SeedProduct("BOK-0002", "The home barista's handbook", 2490, 1490, 21),
        SeedProduct("BOK-0003", "Roasting small batches", 3490, 2100, 8),
        SeedProduct("BOK-0004", "A short history of tea", 1990, 1190, 17),
        SeedProduct("BOK-0005", "The tea houses of Kyoto", 3990, 2500, 4),
        SeedProduct("BOK-0006", "Latte art in forty pictures", 1890, 1100, 26),
        SeedProduct("BOK-0007", "Water for coffee", 2790, 1650, 10),
        SeedProduct("BOK-0008", "Baking for the coffee table", 2290, 1350, 19),
        SeedProduct("BOK-0009", "Brewing journal, blank", 1290, 560, 60),
        SeedProduct("BOK-0010", "World map of coffee, poster", 1590, 620, 34),
    ],
}

# customer, day, (SKU, quantity) ...
ORDERS = [
    (1, "2025-03-03T09:12:00+00:00", [("COF-0001", 2), ("BRW-0002", 1)]),
    (2, "2025-03-05T17:40:00+00:00", [("BRW-0005", 1)]),
    (4, "2025-03-10T06:55:00+00:00", [("COF-0008", 10), ("CUP-0002", 6), ("SWE-0009", 4)]),
    (3, "2025-03-11T12:03:00+00:00", [("TEA-0006", 1), ("CUP-0007", 1), ("TEA-0005", 2)]),
    (1, "2025-03-18T20:26:00+00:00", [("BOK-0001", 1), ("SWE-0001", 3)]),
]
