use super::*;

fn component(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {body})")).unwrap()
}

fn exporting(name: &str) -> Vec<u8> {
    component(&format!("(instance $i) (export \"{name}\" (instance $i))"))
}

#[test]
fn the_version_is_that_of_the_exported_lifecycle() {
    for (name, version) in Version::KNOWN {
        let lifecycle = format!("flow:processor/lifecycle@{name}");
        assert_eq!(read(&exporting(&lifecycle)), Ok(version));
    }
}

#[test]
fn an_unknown_version_is_refused_by_name() {
    let refused = read(&exporting("flow:processor/lifecycle@7.2.0")).unwrap_err().to_string();
    assert!(refused.contains("flow:processor/lifecycle@7.2.0"), "{refused}");
    assert!(refused.contains("known: 0.1.0, 1.0.0"), "{refused}");
}

#[test]
fn of_several_versions_the_newest_known_one_is_taken() {
    let exports = |versions: &[&str]| -> String {
        let export = |version: &&str| {
            format!("(export \"flow:processor/lifecycle@{version}\" (instance $i))")
        };
        format!("(instance $i) {}", versions.iter().map(export).collect::<String>())
    };
    assert_eq!(read(&component(&exports(&["7.2.0", "0.1.0"]))), Ok(Version::V0_1_0));
    assert_eq!(read(&component(&exports(&["1.0.0", "0.1.0"]))), Ok(Version::V1_0_0));
}

#[test]
fn an_optional_interface_of_another_version_is_refused_by_name() {
    let with = |names: &[&str]| {
        let export = |name: &&str| format!("(export \"{name}\" (instance $i))");
        let exports: String = names.iter().map(export).collect();
        read(&component(&format!("(instance $i) {exports}")))
    };
    for (name, version) in Version::KNOWN {
        let (lifecycle, ours) = (version.interface("lifecycle"), version.interface("timer"));
        let other = if name == "0.1.0" { "1.0.0" } else { "0.1.0" };
        for other in [other, "7.2.0"].map(|other| format!("flow:processor/timer@{other}")) {
            assert_eq!(with(&[&lifecycle, &ours]), Ok(version));
            assert_eq!(with(&[&lifecycle, &other, &ours]), Ok(version));
            assert_eq!(with(&[&lifecycle, "flow:processor/other@7.2.0"]), Ok(version));
            let refused = with(&[&lifecycle, &other]).unwrap_err().to_string();
            assert!(refused.contains(&other), "{refused}");
        }
    }
}

#[test]
fn a_component_without_the_lifecycle_is_no_processor() {
    assert_eq!(read(&exporting("wasi:cli/run@0.2.0")), Err(LoadError::NotAProcessor));
    assert_eq!(read(&component("")), Err(LoadError::NotAProcessor));
}

#[test]
fn names_inside_nested_components_do_not_count() {
    let nested =
        "(component (instance $i) (export \"flow:processor/lifecycle@0.1.0\" (instance $i)))";
    assert_eq!(read(&component(nested)), Err(LoadError::NotAProcessor));
}

#[test]
fn imports_that_no_plugin_is_given_are_refused_by_name() {
    let body = "(import \"wasi:http/handler@0.2.0\" (instance))
        (instance $i) (export \"flow:processor/lifecycle@0.1.0\" (instance $i))";
    assert_eq!(
        read(&component(body)),
        Err(LoadError::UnknownImport("wasi:http/handler@0.2.0".to_owned()))
    );
}

#[test]
fn a_core_module_and_other_bytes_are_told_apart() {
    assert_eq!(read(&wat::parse_str("(module)").unwrap()), Err(LoadError::CoreModule));
    assert!(matches!(read(b"#!/bin/sh"), Err(LoadError::NotWasm(_))));
    assert!(matches!(read(b""), Err(LoadError::NotWasm(_))));
    let whole = exporting("flow:processor/lifecycle@0.1.0");
    assert!(matches!(read(&whole[..whole.len() - 3]), Err(LoadError::NotWasm(_))));
}

#[test]
fn a_file_one_byte_too_large_is_refused_before_it_is_read() {
    let large = vec![0; usize::try_from(MAX_COMPONENT).unwrap() + 1];
    let refused = read(&large).unwrap_err();
    assert_eq!(refused, LoadError::limit("component_bytes", MAX_COMPONENT));
}
