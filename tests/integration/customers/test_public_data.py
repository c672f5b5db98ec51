import hashlib

from tests.fixtures.public_data import public_data

CDNOW = public_data("cdnow_sample.csv.gz")
PUBLISHED_SHA256 = "229e0a627925e6d203bf35a0b4c6b3724858aae68c977d1ece84e7308becbc4c"


async def test_the_demo_data_is_imported_whole(shop, superuser):
    done = await shop.load(CDNOW.read_bytes())
    assert done.state == "SUCCEEDED"
    assert (done.rows.read, done.rows.accepted, done.rows.rejected) == (6919, 6919, 0)
    assert done.new_customers == 2357
    assert await superuser.fetchval("SELECT count(*) FROM customers") == 2357
    assert await superuser.fetchval("SELECT count(*) FROM purchase_days WHERE orders > 0") == 6696
    assert str(await superuser.fetchval("SELECT as_of FROM customer_data")) == "1998-06-30"
    # 8 of the purchases have the amount 0; each still makes a purchase-day.
    assert await superuser.fetchval("SELECT count(*) FROM purchase_days WHERE amount_minor = 0") == 8


def test_the_demo_data_is_the_published_file():
    assert hashlib.sha256(CDNOW.read_bytes()).hexdigest() == PUBLISHED_SHA256


async def test_half_a_million_invoice_lines_are_imported_as_published_and_only_once(
    shop, superuser, contents
):
    data = public_data("online_retail_lines.parquet").read_bytes()
    done = await shop.load(data)
    assert (done.rows.read, done.rows.rejected, done.rows.accepted) == (541_909, 135_080, 406_829)
    assert done.rejected_by_reason == {"CUSTOMER_MISSING": 135_080}
    assert done.new_customers == 4_372
    assert (
        await superuser.fetchval("SELECT count(DISTINCT (customer_id, order_ref)) FROM transactions")
        == 22_190
    )
    # The two giant orders that their buyers cancelled the same day must not be sales.
    giants = await superuser.fetchval(
        "SELECT max(amount_minor) FROM purchase_days p JOIN customers c "
        "ON (p.tenant_id, p.customer_id) = (c.tenant_id, c.id) WHERE c.external_id IN ('12346', '16446')"
    )
    assert giants < 10_000_00

    before = await contents()
    again = await shop.load(data)
    assert (again.rows.accepted, again.rows.duplicate, again.new_customers) == (0, 406_829, 0)
    assert await contents() == before
