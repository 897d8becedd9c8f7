//! Ways to spoil a document: those of bad disks, and those of people who know what readers forgive.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use crate::json::{self, Node, Place, Text};
use crate::random::Random;

/// Spoils a document of JSON once to three times; `others` are documents of the same kind, whose
/// parts are put into this one. Documents that are no JSON are spoiled as bytes.
pub fn document(random: &mut Random, good: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let Some(mut node) = json::parse(good).filter(|_| !random.once_in(8)) else {
        return bytes(random, good, others);
    };
    for _ in 0..=random.below(3) {
        change(random, &mut node, others);
    }
    let written = json::write(&node).into_bytes();
    match random.once_in(16) {
        true => bytes(random, &written, others),
        false => written,
    }
}

/// Spoils bytes.
pub fn bytes(random: &mut Random, good: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let place = random.below(bytes.len() + 1);
    let inside = random.below(bytes.len().max(1));
    match random.below(9) {
        0..=2 if !bytes.is_empty() => bytes[inside] ^= 1 << random.below(8),
        3 => bytes.truncate(place),
        4 => bytes.insert(place, random.next() as u8),
        5 if !bytes.is_empty() => drop(bytes.remove(inside)),
        6 => {
            let other = random.pick(others);
            bytes.truncate(place);
            bytes.extend(&other[random.below(other.len() + 1)..]);
        }
        7 => {
            let noise: [&[u8]; 8] =
                [b"\xef\xbb\xbf", b"\0", b" ", b"\n", b"{}", b"\xff", b"//", b"\x1a"];
            let noise = random.pick(&noise);
            let place = *random.pick(&[0, place, bytes.len()]);
            bytes.splice(place..place, noise.iter().copied());
        }
        _ => bytes.extend_from_slice(good),
    }
    bytes
}

/// Spoils one value.
fn change(random: &mut Random, root: &mut Node, others: &[Vec<u8>]) {
    let places = json::places(root);
    let place = random.pick(&places).clone();
    let donor = json::parse(random.pick::<Vec<u8>>(others)).unwrap_or(Node::Raw("null".to_owned()));
    let donors = json::places(&donor);
    // The value at the same place in another document, or just any.
    let gift = match json::at(&donor, &place) {
        Some(gift) if !random.once_in(3) => gift.clone(),
        _ => json::at(&donor, random.pick::<Place>(&donors))
            .cloned()
            .unwrap_or(Node::List(Vec::new())),
    };
    if random.once_in(6) {
        swap(random, root, &places);
        return;
    }
    let Some(node) = json::at_mut(root, &place) else { return };
    match node {
        _ if random.once_in(8) => *node = gift,
        _ if random.once_in(12) => retype(random, node),
        Node::Object(fields) => object(random, fields, gift),
        Node::List(list) => self::list(random, list, gift),
        Node::Text(text) => self::text(random, text),
        Node::Raw(raw) => number(random, raw),
    }
}

/// Two values change their places.
fn swap(random: &mut Random, root: &mut Node, places: &[Place]) {
    let (a, b) = (random.pick(places).clone(), random.pick(places).clone());
    if a.starts_with(&b) || b.starts_with(&a) {
        return;
    }
    let (Some(first), Some(second)) = (json::at(root, &a).cloned(), json::at(root, &b).cloned())
    else {
        return;
    };
    if let Some(node) = json::at_mut(root, &a) {
        *node = second;
    }
    if let Some(node) = json::at_mut(root, &b) {
        *node = first;
    }
}

/// Another type, or around it another value.
fn retype(random: &mut Random, node: &mut Node) {
    let old = node.clone();
    *node = match random.below(9) {
        0 => Node::Raw("null".to_owned()),
        1 => Node::Raw("true".to_owned()),
        2 => Node::Text(json::write(&old).as_str().into()),
        3 => Node::List(vec![old]),
        4 => Node::Object(vec![("".into(), old)]),
        5 => Node::Text("".into()),
        6 => match old {
            Node::Text(text) => Node::Raw(text.says),
            Node::List(mut list) if !list.is_empty() => list.remove(0),
            Node::Object(mut fields) if !fields.is_empty() => fields.remove(0).1,
            _ => Node::Raw("0".to_owned()),
        },
        7 => {
            let depth = *random.pick(&[1, 10, 130, 2000]);
            Node::Raw("[".repeat(depth) + &json::write(&old) + &"]".repeat(depth))
        }
        _ => Node::Object(Vec::new()),
    };
}

fn object(random: &mut Random, fields: &mut Vec<(Text, Node)>, gift: Node) {
    if fields.is_empty() {
        fields.push(("extra".into(), gift));
        return;
    }
    let at = random.below(fields.len());
    match random.below(7) {
        // Twice: the same or another value, before or after.
        0 => {
            let value = if random.once_in(2) { gift } else { fields[at].1.clone() };
            let twin = (fields[at].0.clone(), value);
            fields.insert(at + random.below(2), twin);
        }
        // Twice, once in another case or spelling.
        1 => {
            let mut name = fields[at].0.clone();
            rename(random, &mut name);
            fields.insert(at + random.below(2), (name, gift));
        }
        2 => rename(random, &mut fields[at].0),
        3 => drop(fields.remove(at)),
        4 => {
            let names = ["extra", "optional", "keyid", "critical", "__proto__", "", "sha256"];
            fields.insert(at, ((*random.pick(&names)).into(), gift));
        }
        5 => {
            let other = random.below(fields.len());
            fields.swap(at, other);
        }
        _ => {
            let other = random.below(fields.len());
            let value = fields[other].1.clone();
            fields[at].1 = value;
        }
    }
}

/// A name that some readers take for the same.
fn rename(random: &mut Random, name: &mut Text) {
    let says = name.says.clone();
    match random.below(6) {
        0 => *name = says.to_uppercase().as_str().into(),
        1 => *name = says.to_lowercase().as_str().into(),
        2 => {
            let at = random.below(says.len().max(1));
            let flipped = says.chars().enumerate().map(|(i, letter)| match i == at {
                true if letter.is_uppercase() => letter.to_ascii_lowercase(),
                true => letter.to_ascii_uppercase(),
                false => letter,
            });
            *name = flipped.collect::<String>().as_str().into();
        }
        // Go's encoding/json folds these two to `s` and `k`.
        3 => *name = says.replace('s', "\u{17f}").replace('k', "\u{212a}").as_str().into(),
        4 => *name = (says + "\0").as_str().into(),
        _ => escape(random, name),
    }
}

/// The same text, spelled otherwise.
fn escape(random: &mut Random, text: &mut Text) {
    let all = random.once_in(2);
    let mut spelled = String::from("\"");
    for letter in text.says.chars() {
        if all || random.once_in(3) {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                spelled += &format!("\\u{unit:04X}");
            }
        } else {
            let written = serde_json::Value::from(letter.to_string()).to_string();
            spelled += written.trim_start_matches('"').strip_suffix('"').unwrap_or("");
        }
    }
    text.spelled = Some(spelled + "\"");
}

fn list(random: &mut Random, list: &mut Vec<Node>, gift: Node) {
    if list.is_empty() {
        list.push(gift);
        return;
    }
    let at = random.below(list.len());
    match random.below(5) {
        0 => list.insert(at, list[at].clone()),
        1 => drop(list.remove(at)),
        2 => list.insert(at, gift),
        3 => {
            let other = random.below(list.len());
            list.swap(at, other);
        }
        _ => {
            let many = *random.pick(&[2, 40, 300]);
            let item = list[at].clone();
            list.extend(std::iter::repeat_n(item, many));
        }
    }
}

fn text(random: &mut Random, text: &mut Text) {
    let decoded = STANDARD.decode(&text.says).ok().filter(|bytes| bytes.len() >= 8);
    if let Some(decoded) = decoded.filter(|_| !random.once_in(3)) {
        // Payloads and entries of logs are documents themselves.
        if decoded.starts_with(b"{") && random.once_in(2) {
            let inner = document(random, &decoded, std::slice::from_ref(&decoded));
            *text = STANDARD.encode(inner).as_str().into();
            return;
        }
        *text = base64(random, &text.says, decoded).as_str().into();
        return;
    }
    let letters: Vec<char> = text.says.chars().collect();
    let at = random.below(letters.len().max(1));
    let replace = |with: &dyn Fn(char) -> String| -> String {
        letters
            .iter()
            .enumerate()
            .map(|(i, &letter)| if i == at { with(letter) } else { letter.to_string() })
            .collect()
    };
    let changed: String = match random.below(9) {
        0 => replace(&|letter| char::from(letter as u8 ^ 1).to_string()),
        1 => replace(&|_| String::new()),
        2 => replace(&|letter| letter.to_string().repeat(2)),
        3 => letters[..at].iter().collect(),
        4 => {
            let tails = ["\0", " ", "\n", "/", ":x", "@", "\u{200b}", "=", "a"];
            text.says.clone() + random.pick::<&str>(&tails)
        }
        5 => format!(" {}", text.says),
        6 => text.says.to_uppercase(),
        7 => text.says.repeat(*random.pick(&[2, 100])),
        _ => {
            escape(random, text);
            return;
        }
    };
    *text = changed.as_str().into();
}

/// What is no text, list or object: another number, or the same one written otherwise.
fn number(random: &mut Random, raw: &mut String) {
    *raw = match random.below(9) {
        0 => format!("{raw}.0"),
        1 => format!("{raw}e0"),
        2 => format!("-{raw}"),
        3 => format!("0{raw}"),
        4 => format!("{raw}0"),
        5 => format!("\"{raw}\""),
        6 => "18446744073709551616".to_owned(),
        7 => "1e400".to_owned(),
        _ => (*random.pick(&["0", "1", "-1", "null", "NaN", "true", "9223372036854775807"]))
            .to_owned(),
    };
}

/// Base64 that says something else, or the same to readers that forgive.
fn base64(random: &mut Random, text: &str, mut bytes: Vec<u8>) -> String {
    let at = random.below(bytes.len());
    match random.below(10) {
        0..=2 => bytes[at] ^= 1 << random.below(8),
        3 => bytes.truncate(at),
        4 => bytes.push(0),
        5 => bytes.insert(0, 0),
        6 => return URL_SAFE.encode(&bytes),
        7 => return STANDARD_NO_PAD.encode(&bytes),
        8 => {
            // Bits after the last byte that mean nothing.
            let end = text.trim_end_matches('=').len();
            let next = text.as_bytes()[end - 1].wrapping_add(1);
            return format!("{}{}{}", &text[..end - 1], char::from(next), &text[end..]);
        }
        _ => {
            let place = random.below(text.len());
            let noise = random.pick(&["\n", " ", "=", "==", "\0", "\r\n"]);
            return format!("{}{noise}{}", &text[..place], &text[place..]);
        }
    }
    STANDARD.encode(&bytes)
}
