//! `/metrics` of the real system, read by the reader that Prometheus' own project keeps for its
//! text format, and held against what its format asks for beyond that (contract 4).

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use promises::{ONE_WORD, World, get, open_stream, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

const STREAM: &str = r#"{"prompt":"Count:","max_tokens":4,"stream":true}"#;
/// What the page is read by; it prints each sample that has no bucket.
const READER: &str = r#"
import sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
assert len(families) == len({family.name for family in families}), families
for family in families:
    assert family.type in ("counter", "gauge", "histogram") and family.documentation, family
    series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
    assert series and len(series) == len(set(series)), family
    told = [s for s in family.samples if not s.name.endswith("_bucket")]
    if family.type == "histogram":
        buckets = [(float(s.labels["le"]), s.value) for s in family.samples if s not in told]
        assert buckets[-1][0] == float("inf") and len(buckets) > 5, buckets
        bounds, counts = zip(*buckets)
        assert list(bounds) == sorted(set(bounds)) and list(counts) == sorted(counts), buckets
        total, count = (next(s.value for s in told if s.name == family.name + end) for end in ("_sum", "_count"))
        assert counts[-1] == count and total >= 0, family
    for sample in told:
        print(sample.name, *sample.labels.values(), sample.value)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_own_reader_reads_what_happened() -> Result<()> {
    let world = World::ready().await?;
    let (address, token) = world.endpoint_and_token().await?;
    for _ in 0..2 {
        ensure!(post(&address, "/v1/chat/completions", &token, ONE_WORD).await?.status == 200);
    }
    let mut stream = open_stream(&address, "/v1/completions", &token, STREAM).await?;
    stream.read_to_end(&mut Vec::new()).await?;
    ensure!(get(&address, "/no/such\"route\\\n", Some(&token)).await?.status == 400);
    ensure!(get(&address, "/no/such", Some(&token)).await?.status == 404);
    world.status_when(|status| status["in_flight"] == 0).await?;
    let page = get(&address, "/metrics", Some(&token)).await?;
    ensure!(page.status == 200, "{page:?}");

    let told = read(&page.body).await?;
    let value = |name: &str| -> Result<f64> {
        let line = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in\n{told}"))?.parse()?)
    };
    let exact = [
        ("frontdoor_requests_total /v1/chat/completions ok", 2.0),
        ("frontdoor_requests_total /v1/completions ok", 1.0),
        ("frontdoor_requests_total other route_not_found", 1.0),
        ("frontdoor_upstream_errors_total", 0.0),
        ("frontdoor_in_flight", 0.0),
        ("frontdoor_queued", 0.0),
        ("frontdoor_available", 1.0),
        ("frontdoor_admission_seconds_count", 3.0),
        ("frontdoor_first_byte_seconds_count", 3.0),
    ];
    for (name, wanted) in exact {
        let found = value(name)?;
        ensure!((found - wanted).abs() < f64::EPSILON, "{name} is {found}, not {wanted}");
    }
    for name in [
        "frontdoor_request_bytes_total",
        "frontdoor_response_bytes_total",
        "frontdoor_connections",
        "frontdoor_first_byte_seconds_sum",
        "frontdoor_duration_seconds_sum",
        "runtime_resident_bytes",
    ] {
        ensure!(value(name)? > 0.0, "{name} in\n{told}");
    }
    ensure!(value("frontdoor_health_age_milliseconds")? < 15_000.0, "{told}");
    // Of the whole device, whoever uses it.
    ensure!(value("runtime_gpu_bytes")? >= 0.0, "{told}");
    ensure!((0.0..=100.0).contains(&value("runtime_cpu_percent")?), "{told}");
    world.stop().await
}

async fn read(page: &[u8]) -> Result<String> {
    let python = std::env::var("COMPANION_TEST_PYTHON").context(
        "COMPANION_TEST_PYTHON names a Python with `prometheus_client`: run `cargo xtask test`",
    )?;
    let mut reader = Command::new(python);
    reader.args(["-c", READER]).env_clear().kill_on_drop(true);
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    reader.stdin.take().context("no input")?.write_all(page).await?;
    let output = reader.wait_with_output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(page));
    Ok(String::from_utf8(output.stdout)?)
}
