//! Makes what a program said the same on every machine, for snapshots written in the test.

/// Replaces each `from` by its `to`; a longer `from` goes first, so that a folder is replaced
/// before the folder above it.
pub fn normalise(text: &str, replacements: &[(&str, &str)]) -> String {
    let mut replacements: Vec<_> =
        replacements.iter().filter(|(from, _)| !from.is_empty()).collect();
    replacements.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    replacements.into_iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn longer_texts_are_replaced_first() {
        let replacements = [("/tmp/a", "[DIR]"), ("/tmp/a/store", "[STORE]"), ("", "never")];
        let text = normalise("/tmp/a/store/x beside /tmp/a/y", &replacements);
        assert_eq!(text, "[STORE]/x beside [DIR]/y");
    }
}
