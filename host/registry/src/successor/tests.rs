//! What a processor's row says after each step.

use super::*;
use crate::NewProcessor;

fn processor() -> Processor {
    let name = |name: &str| name.parse().unwrap();
    let new = NewProcessor::named(name("p.a"), "guest", vec![name("a.a")], vec![name("b.a")]);
    let mut processor = new.preview();
    processor.options.insert("upgrade".to_owned(), "shadow-first".to_owned());
    processor.settle_pin(Some("1".to_owned())).unwrap();
    processor
}

fn rule(processor: &mut Processor, step: Rule) -> Result<(), String> {
    let settled = processor.settle_shadow(ShadowChange::Rule(step));
    settled.map_err(|error| error.to_string())
}

fn follow(processor: &mut Processor, digest: &str) -> Result<(), String> {
    let (digest, version) = (digest.to_owned(), format!("{digest}.0.0"));
    rule(processor, Rule::Follow { digest, version })
}

fn since(processor: &Processor) -> i64 {
    processor.successor.as_ref().map_or(0, |successor| successor.since)
}

fn differs(processor: &mut Processor, digest: &str) -> Result<(), String> {
    let (digest, since, why) = (digest.to_owned(), since(processor), "all".to_owned());
    rule(processor, Rule::Differs { digest, since, why })
}

fn agrees(processor: &mut Processor, digest: &str) -> Result<(), String> {
    let since = since(processor);
    rule(processor, Rule::Agrees { digest: digest.to_owned(), since, returns: true })
}

#[test]
fn only_what_was_compared_takes_over_and_the_rule_stays() {
    let mut processor = processor();
    follow(&mut processor, "2").unwrap();
    assert_eq!((processor.pinned.as_deref(), processor.shadow.as_deref()), (Some("1"), Some("2")));
    follow(&mut processor, "3").unwrap();
    assert!(agrees(&mut processor, "2").is_err(), "it is another one by now");
    agrees(&mut processor, "3").unwrap();
    assert_eq!((processor.pinned.as_deref(), processor.shadow.as_deref()), (Some("3"), None));
    assert!(processor.is_shadow_first() && processor.successor.is_none());
}

#[test]
fn what_differs_or_was_discarded_follows_only_by_somebodys_word() {
    let mut processor = processor();
    follow(&mut processor, "2").unwrap();
    differs(&mut processor, "2").unwrap();
    assert!(agrees(&mut processor, "2").is_err());
    let wrong = processor.clone().settle_shadow(ShadowChange::Promote("3".to_owned()));
    assert!(wrong.is_err(), "it is not the one that was compared");
    let mut promoted = processor.clone();
    promoted.settle_shadow(ShadowChange::Promote("2".to_owned())).unwrap();
    assert_eq!(promoted.pinned.as_deref(), Some("2"));
    assert!(promoted.is_shadow_first());
    processor.settle_shadow(ShadowChange::Discard).unwrap();
    let successor = processor.successor.clone().unwrap();
    assert_eq!((processor.shadow.as_ref(), successor.verdict), (None, Some(Verdict::Discarded)));
    // Until somebody wants it looked at again.
    processor.settle_shadow(ShadowChange::Begin("2".to_owned())).unwrap();
    agrees(&mut processor, "2").unwrap();
}

#[test]
fn a_shadow_that_was_set_by_hand_is_not_the_rules() {
    let mut processor = processor();
    processor.settle_shadow(ShadowChange::Begin("7".to_owned())).unwrap();
    assert!(follow(&mut processor, "2").is_err());
    rule(&mut processor, Rule::Nothing).unwrap();
    assert_eq!(processor.shadow.as_deref(), Some("7"));
}

#[test]
fn another_configuration_is_compared_anew_and_another_rule_ends_it() {
    let mut processor = processor();
    follow(&mut processor, "2").unwrap();
    differs(&mut processor, "2").unwrap();
    let before = processor.clone();
    processor.compare_anew(&before);
    assert_eq!(processor, before);
    processor.config = "[]".to_owned();
    processor.compare_anew(&before);
    assert!(processor.followed().unwrap().is_open());
    processor.options.insert("upgrade".to_owned(), "auto".to_owned());
    processor.settle_pin(None).unwrap();
    assert_eq!((processor.pinned, processor.shadow, processor.successor), (None, None, None));
}

#[test]
fn what_was_compared_before_the_configuration_changed_decides_nothing() {
    let mut processor = processor();
    follow(&mut processor, "2").unwrap();
    let (since, before) = (since(&processor), processor.clone());
    processor.config = "[]".to_owned();
    processor.compare_anew(&before);
    let digest = || "2".to_owned();
    let agrees = Rule::Agrees { digest: digest(), since, returns: true };
    assert!(rule(&mut processor, agrees).is_err());
    let differs = Rule::Differs { digest: digest(), since, why: "all".to_owned() };
    assert!(rule(&mut processor, differs).is_err());
    assert_eq!(processor.pinned.as_deref(), Some("1"));
    assert!(processor.followed().unwrap().is_open());
}

#[test]
fn it_goes_back_only_to_what_it_came_from_and_can_go_on() {
    let mut processor = processor();
    let back = |digest: &str| Rule::Back(digest.to_owned());
    follow(&mut processor, "3").unwrap();
    agrees(&mut processor, "3").unwrap();
    assert_eq!(processor.before.as_deref(), Some("1"));
    assert!(rule(&mut processor, back("2")).is_err());
    let mut other = processor.clone();
    rule(&mut processor, back("1")).unwrap();
    assert_eq!((processor.pinned.as_deref(), &processor.before), (Some("1"), &None));
    other.options.insert("upgrade".to_owned(), "auto".to_owned());
    other.settle_pin(None).unwrap();
    assert_eq!(other.before, None);
    // One that reads what the other has written otherwise would not know what it reads.
    follow(&mut processor, "3").unwrap();
    let since = since(&processor);
    let agrees = Rule::Agrees { digest: "3".to_owned(), since, returns: false };
    rule(&mut processor, agrees).unwrap();
    assert!(rule(&mut processor, back("1")).is_err());
}
