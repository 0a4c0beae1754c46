use super::*;

#[test]
fn trouble_is_noted_until_it_was_quiet_for_a_while() {
    let measures = Measures::new("b");
    let page = || {
        let mut page = Exposition::default();
        write(&mut page, &[Arc::clone(&measures)]);
        page.into_text()
    };
    assert!(page().contains("fnaa_broker_full{broker=\"b\"} 0\n"));
    let full = CommitOutcome::Aborted(BrokerError::Full("disk".into()));
    measures.committed(&full, Duration::from_millis(1));
    measures.committed(&CommitOutcome::Committed, Duration::from_millis(1));
    let text = page();
    assert!(text.contains("fnaa_broker_full{broker=\"b\"} 1\n"), "{text}");
    assert!(text.contains("{broker=\"b\",outcome=\"aborted\"} 1\n"), "{text}");
    assert!(text.contains("fnaa_commit_duration_seconds_count{broker=\"b\"} 2\n"), "{text}");
    measures.trouble.lock().unwrap().full = Instant::now().checked_sub(QUIET);
    measures.note(None);
    assert!(page().contains("fnaa_broker_full{broker=\"b\"} 0\n"));
}
