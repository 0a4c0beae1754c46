//! `fnaad plugin check`, `run`, `conform` and `bench`, as an author types them.

mod check;
mod conform;
mod failure;
mod run;

use stories::Tools;

#[test]
fn bench_says_what_an_event_costs_at_three_sizes_beside_a_forwarder() {
    let tools = Tools::new();
    let bridge = tools.included("bridge");
    let (code, report) = tools.json(&["bench", &bridge]);
    assert_eq!(code, 0, "{report}");
    let sizes: Vec<_> =
        report["batches"].as_array().unwrap().iter().map(|row| row["batch"].as_u64()).collect();
    assert_eq!(sizes, [Some(1), Some(64), Some(512)]);
    for row in report["batches"].as_array().unwrap() {
        for kind in ["event", "forward"] {
            let of = |key: &str| row[kind][key].as_f64().unwrap();
            assert!(
                of("min") > 0.0 && of("min") <= of("median") && of("median") <= of("p99"),
                "{row}"
            );
            assert!(row[kind]["calls"].as_u64() >= Some(20), "{row}");
        }
    }
    assert!(report["memory_bytes"].as_u64() > Some(0), "{report}");
    let guest = tools.file("guest.wasm", stories::guest());
    assert!(report["tick"].is_null(), "{report}");
    let (code, report) = tools.json(&["bench", &guest, "--config", r#"{"tick": 1000}"#]);
    assert_eq!(code, 0, "{report}");
    assert!(report["tick"]["calls"].as_u64() >= Some(20), "{report}");
    let said = tools.run(&["bench", &guest, "--config", r#"{"act":"panic"}"#], "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("the plugin fails on these events"), "{said:?}");
}
