use super::*;

#[test]
fn settings_that_promises_rest_on_are_refused_with_the_reason() {
    for (key, why) in RELIED_ON {
        let refusal = check_setting(key, "1").unwrap_err();
        assert_eq!(refusal, format!("{key} cannot be set here: {why}"));
    }
    for key in ["sasl.username", "security.protocol", "sasl.mechanism", "ssl.ca.location"] {
        assert!(check_setting(key, "x").unwrap_err().contains("[brokers.sasl]"), "{key}");
    }
    for key in ["plugin.library.paths", "test.mock.num.brokers", "dr_msg_cb"] {
        assert!(check_setting(key, "x").unwrap_err().contains("for programs"), "{key}");
    }
}

#[test]
fn secrets_are_refused_and_never_repeated() {
    for key in ["sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password"] {
        let refusal = check_setting(key, "hunter2").unwrap_err();
        assert!(refusal.contains("read from files") && !refusal.contains("hunter2"));
    }
    let refusal = check_setting("linger.ms", "hunter2").unwrap_err();
    assert!(!refusal.contains("hunter2"), "{refusal}");
    let sasl =
        Sasl { mechanism: Mechanism::Plain, username: "ana".into(), password: "hunter2".into() };
    let options = KafkaOptions {
        sasl: Some(sasl.clone()),
        ..KafkaOptions::new("k", "127.0.0.1:1", "x", "/tmp")
    };
    assert!(!format!("{options:?} {sasl:?}").contains("hunter2"));
}

#[test]
fn settings_are_taken_and_refused_as_librdkafka_does() {
    check_setting("linger.ms", "5").unwrap();
    check_setting("compression.type", "zstd").unwrap();
    check_setting("socket.keepalive.enable", "true").unwrap();
    let unknown = check_setting("lingre.ms", "5").unwrap_err();
    assert!(unknown.contains("No such configuration property"), "{unknown}");
    assert!(check_setting("linger.ms", "-5").is_err());
}

#[test]
fn certificates_are_verified_unless_it_is_said_otherwise() {
    let mut options = KafkaOptions::new("k", "127.0.0.1:1", "x", "/tmp");
    options.tls = Some(Tls::default());
    let config = options.client_config();
    assert_eq!(config.get("security.protocol"), Some("ssl"));
    assert_eq!(config.get("enable.ssl.certificate.verification"), Some("true"));
    assert_eq!(config.get("ssl.endpoint.identification.algorithm"), Some("https"));
    options.tls = Some(Tls { take_any_certificate: true, ..Tls::default() });
    let config = options.client_config();
    assert_eq!(config.get("enable.ssl.certificate.verification"), Some("false"));
}
