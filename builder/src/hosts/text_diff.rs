//! [`unified`]: what changed in a text, as diff -u shows it.

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

/// The most lines that are compared one with another; beyond that the whole middle counts as changed.
const LIMIT: usize = 4000;

/// The lines of `old` and `new` that differ, with some around them; empty where none does.
pub fn unified(name: &str, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let edits = edits(&old, &new);
    let mut out = format!("--- {name}\n+++ {name}\n");
    let changed: Vec<usize> =
        edits.iter().enumerate().filter(|(_, (sign, _))| *sign != ' ').map(|(n, _)| n).collect();
    let mut at = 0;
    while at < changed.len() {
        let mut last = at;
        while last + 1 < changed.len() && changed[last + 1] - changed[last] <= 2 * CONTEXT {
            last += 1;
        }
        let start = changed[at].saturating_sub(CONTEXT);
        let end = (changed[last] + 1 + CONTEXT).min(edits.len());
        hunk(&mut out, &edits, start, end);
        at = last + 1;
    }
    out
}

fn hunk(out: &mut String, edits: &[(char, &str)], start: usize, end: usize) {
    let count = |part: &[(char, &str)], without: char| {
        part.iter().filter(|(sign, _)| *sign != without).count()
    };
    let (before, part) = (&edits[..start], &edits[start..end]);
    out.push_str(&format!(
        "@@ -{},{} +{},{} @@\n",
        count(before, '+') + 1,
        count(part, '+'),
        count(before, '-') + 1,
        count(part, '-'),
    ));
    for (sign, line) in part {
        out.push(*sign);
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Each line with ` `, `-` or `+`.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[same..], &new[same..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let old_middle = &old_rest[..old_rest.len() - tail];
    let new_middle = &new_rest[..new_rest.len() - tail];
    let mut edits: Vec<(char, &str)> = old[..same].iter().map(|line| (' ', *line)).collect();
    if old_middle.len().saturating_mul(new_middle.len()) > LIMIT * LIMIT {
        edits.extend(old_middle.iter().map(|line| ('-', *line)));
        edits.extend(new_middle.iter().map(|line| ('+', *line)));
    } else {
        edits.extend(middle(old_middle, new_middle));
    }
    edits.extend(old_rest[old_middle.len()..].iter().map(|line| (' ', *line)));
    edits
}

/// By the longest common subsequence.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = match old[i] == new[j] {
                true => longest[(i + 1) * width + j + 1] + 1,
                false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut edits) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            edits.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            edits.push(('-', old[i]));
            i += 1;
        } else {
            edits.push(('+', new[j]));
            j += 1;
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_what_is_around_them() {
        assert_eq!(unified("f", "a\n", "a\n"), "");
        assert_eq!(
            unified("f", "1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nfive\n6"),
            "--- f\n+++ f\n@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n-6\n+five\n+6\n\\ No newline at end of file\n"
        );
        let old: String = (0..40).map(|n| format!("{n}\n")).collect();
        let new = old.replace("5\n", "five\n").replace("30\n", "");
        let diff = unified("f", &old, &new);
        assert_eq!(diff.matches("@@ -").count(), 3);
        assert!(diff.contains("@@ -23,17 +23,16 @@"), "{diff}");
    }
}
