//! Everything that was kept of fuzzing, once more: what was mended stays mended.

use std::path::Path;

#[test]
fn every_input_of_the_corpus_has_the_properties_of_its_way_in() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, property) in properties::ALL {
        let inputs = std::fs::read_dir(corpus.join(name)).unwrap();
        let mut count = 0;
        for input in inputs {
            let path = input.unwrap().path();
            // The last line of a failed test's output is the input that failed.
            println!("{}", path.display());
            property(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 1, "no corpus of {name}");
    }
}

#[test]
fn every_way_in_has_a_fuzz_target_and_every_target_its_way_in() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let stems = |dir: &str| {
        let entries = std::fs::read_dir(fuzz.join(dir)).unwrap();
        let mut stems: Vec<String> = entries
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        stems.sort();
        stems
    };
    let names: Vec<&str> = properties::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
