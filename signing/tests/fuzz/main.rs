//! A share of the campaign of [`campaign`] that takes seconds; the whole is in the slow tier.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod campaign;
mod commits;
mod downloads;
mod images;
mod json;
mod keyless;
mod keys;
mod mutate;
mod random;
mod targets;

/// Cases of each target.
const CASES: u64 = 2_000;

#[test]
fn no_tampered_input_is_accepted_and_none_panics() {
    campaign::run(CASES);
}

#[test]
fn what_is_not_tampered_with_is_accepted() {
    for target in targets::all() {
        let accepted = target.untouched();
        assert!(accepted > 0, "{} accepts nothing", target.name());
    }
}

#[test]
fn a_document_is_written_as_it_was_read() {
    for text in [r#"{"a":[1,2.50,-1e9,true,null,"x\n\"\\"],"b":{"c":{}}}"#, r#""/\u0000é""#, "[]"]
    {
        let node = json::parse(text.as_bytes()).unwrap();
        let written = json::write(&node);
        let same = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!(same(written.as_bytes()), same(text.as_bytes()), "{written}");
    }
}
