//! Ways to spoil what targets read, by its form.

use crate::mutate;
use crate::random::Random;
use crate::targets::{Form, repaired};

/// Spoils bytes once to five times, and mostly makes them readable again; `seeds` are others of the
/// kind, whose parts are put into them.
pub fn spoiled(random: &mut Random, form: Form, mut bytes: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
    for _ in 0..=random.below(5) {
        bytes = match form {
            Form::Json if !random.once_in(4) => mutate::document(random, &bytes, seeds),
            Form::Text | Form::Note if !random.once_in(3) => lines(random, &bytes, seeds),
            _ if random.once_in(4) => numbers(random, bytes),
            _ => mutate::bytes(random, &bytes, seeds),
        };
        // Each change may double it.
        bytes.truncate(1 << 20);
    }
    if random.once_in(8) { bytes } else { repaired(form, &bytes) }
}

/// Spoils a text by its lines.
fn lines(random: &mut Random, bytes: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return b"a: b\n".to_vec();
    }
    let (at, other) = (random.below(lines.len()), random.below(lines.len()));
    let donor = String::from_utf8_lossy(random.pick::<Vec<u8>>(seeds)).into_owned();
    let gift: Vec<&str> = donor.lines().collect();
    let line = lines[at].clone();
    match random.below(10) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(other, line),
        2 => lines.swap(at, other),
        3 => lines.insert(at, format!("  {line}")),
        4 => lines[at] = line.trim_start().to_owned(),
        5 if !gift.is_empty() => lines[at] = (*random.pick(&gift)).to_owned(),
        6 => {
            // The value of one line behind the name of another.
            let value = lines[other].split_once([':', '=']).map_or("", |(_, value)| value);
            let name = line.split_once([':', '=']).map_or("", |(name, _)| name);
            lines[at] = format!("{name}:{value}");
        }
        7 => {
            let odd = [
                "&a [*a]",
                "!!binary x",
                "{{ arch }}",
                "{{ input.x.version }}",
                "{{",
                "}}",
                "[",
                "{a: {a",
                "~",
                "0x7f",
                "1e999",
                "-0",
                "\u{feff}",
                "'",
                "\"\\u0000\"",
                "|",
                ">",
                "<<: *a",
                "---",
                "18446744073709551616",
                "\t",
                "/../x",
                "sha256:",
                "# x",
                "ä",
                "null",
                ".inf",
            ];
            let name = line.split_once([':', '=']).map_or("x", |(name, _)| name);
            lines[at] = format!("{name}: {}", random.pick(&odd));
        }
        8 => lines[at] = line.replace(' ', random.pick::<&str>(&["", "  ", "\t", "\u{a0}"])),
        _ => lines.truncate(at),
    }
    (lines.join("\n") + "\n").into_bytes()
}

/// Puts a number where one may be: lengths, counts and offsets of all widths.
fn numbers(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let at = random.below(bytes.len());
    let odd = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];
    let number = match random.below(3) {
        0 => *random.pick(&odd),
        1 => u64::MAX >> random.below(64),
        _ => random.below(4096) as u64,
    };
    let written = match random.below(4) {
        0 => number.to_le_bytes()[..*random.pick(&[1, 2, 4, 8])].to_vec(),
        1 => number.to_be_bytes()[*random.pick(&[0, 4, 6, 7])..].to_vec(),
        2 => format!("{number:011o}").into_bytes(),
        _ => number.to_string().into_bytes(),
    };
    for (byte, new) in bytes[at..].iter_mut().zip(written) {
        *byte = new;
    }
    bytes
}
