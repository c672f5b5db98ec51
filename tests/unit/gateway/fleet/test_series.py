"""Pages of metrics of several processes become one."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.fleet.series import merged


def page(calls, inflight, up, seconds=()):
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls", ("method",), registry=registry)
    counter.labels('a "quoted" name').inc(calls)
    Gauge("gateway_inflight", "Under way", registry=registry).set(inflight)
    Gauge("dependency_up", "Up", ("name",), registry=registry).labels("redis").set(up)
    Gauge("build_info", "1", ("version",), registry=registry).labels("1").set(1)
    histogram = Histogram("seconds", "Seconds", buckets=(0.1, 1.0), registry=registry)
    for one in seconds:
        histogram.observe(one)
    return generate_latest(registry).decode()


def values(text):
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_and_histograms_are_summed_and_gauges_by_what_they_mean():
    found = values(merged([page(3, 2, 1, [0.05]), page(4, 5, 0, [0.5, 5.0])]))

    assert found["calls_total", ('a "quoted" name',)] == 7
    assert found["gateway_inflight", ()] == 7
    assert found["dependency_up", ("redis",)] == 0
    assert found["build_info", ("1",)] == 1
    assert found["seconds_bucket", ("0.1",)] == 1
    assert found["seconds_bucket", ("1.0",)] == 2
    assert found["seconds_bucket", ("+Inf",)] == 3
    assert found["seconds_count", ()] == 3


def test_what_an_ended_process_counted_stays_and_what_it_had_under_way_is_gone():
    found = values(merged([page(3, 2, 1)], [page(10, 9, 0)]))

    assert found["calls_total", ('a "quoted" name',)] == 13
    assert found["gateway_inflight", ()] == 2
    assert found["dependency_up", ("redis",)] == 1


def test_a_series_that_only_one_process_has_is_shown():
    only = "# HELP rare_total Rare\n# TYPE rare_total counter\nrare_total 2.0\n"

    assert values(merged([page(1, 0, 1), only]))["rare_total", ()] == 2


def test_one_page_stays_as_it_is():
    one = page(3, 2, 1, [0.05])

    assert merged([one]) == one
