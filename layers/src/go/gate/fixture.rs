//! Small programs as Go's linker writes them, whole ones and bad ones.

use treelay_recipes::Arch;

/// What a program has.
#[derive(Clone)]
pub(crate) struct Sample<'a> {
    pub arch: Arch,
    pub version: &'a str,
    pub settings: Vec<(&'a str, &'a str)>,
    pub interpreter: Option<&'a str>,
    pub libraries: &'a [&'a str],
    /// What its section `.rodata` holds.
    pub data: &'a [u8],
}

impl<'a> Sample<'a> {
    /// A program that passes.
    pub(crate) fn good(arch: Arch) -> Self {
        let level = match arch {
            Arch::Amd64 => ("GOAMD64", "v1"),
            Arch::Arm64 => ("GOARM64", "v8.0"),
            Arch::Ppc64le => ("GOPPC64", "power8"),
        };
        Self {
            arch,
            version: "go1.27.3",
            settings: vec![
                ("-trimpath", "true"),
                ("CGO_ENABLED", "0"),
                ("GOARCH", arch.go()),
                ("GOOS", "linux"),
                level,
            ],
            interpreter: None,
            libraries: &[],
            data: b"data",
        }
    }

    fn build_info(&self) -> Vec<u8> {
        let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
        bytes.resize(32, 0);
        let settings: String =
            self.settings.iter().map(|(name, value)| format!("build\t{name}={value}\n")).collect();
        let marks = "m".repeat(16);
        for text in [self.version, &format!("{marks}path\texample.org/server\n{settings}{marks}")] {
            let length = text.len();
            bytes.extend([length as u8 & 0x7f | 0x80, (length >> 7) as u8]);
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    /// The file: headers, segments, sections.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body: Vec<(&str, Vec<u8>)> =
            vec![(".go.buildinfo", self.build_info()), (".rodata", self.data.to_vec())];
        let mut segments: Vec<(u32, usize)> = vec![(1, usize::MAX)];
        if let Some(interpreter) = self.interpreter {
            segments.push((3, body.len()));
            body.push((".interp", format!("{interpreter}\0").into_bytes()));
        }
        let mut names = b"\0".to_vec();
        let mut dynamic: Vec<u64> = Vec::new();
        for library in self.libraries {
            dynamic.extend([1, names.len() as u64]);
            names.extend(format!("{library}\0").into_bytes());
        }
        if !dynamic.is_empty() {
            // The table of names is the section after this one, whose address is told below.
            segments.push((2, body.len()));
            dynamic.extend([5, u64::MAX, 10, names.len() as u64, 0, 0]);
            body.push((".dynamic", vec![0; dynamic.len() * 8]));
            body.push((".dynstr", names));
        }
        let mut texts = vec![0_u8];
        let at: Vec<u32> = body
            .iter()
            .map(|(name, _)| {
                let at = texts.len() as u32;
                texts.extend(format!("{name}\0").into_bytes());
                at
            })
            .collect();
        body.push(("", texts));

        const BASE: u64 = 0x10000;
        let start = 64 + 56 * segments.len() as u64;
        let mut offsets = Vec::new();
        let mut end = start;
        for (_, bytes) in &body {
            offsets.push(end);
            end += bytes.len() as u64;
        }
        if let Some(place) = body.iter().position(|(name, _)| *name == ".dynamic") {
            for number in &mut dynamic {
                *number = if *number == u64::MAX { BASE + offsets[place + 1] } else { *number };
            }
            body[place].1 = dynamic.iter().flat_map(|number| number.to_le_bytes()).collect();
        }

        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2_u16.to_le_bytes());
        file.extend(self.arch.elf_machine().to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for number in [BASE, 64, end] {
            file.extend(number.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        let count = body.len() as u16 + 1;
        for half in [64, 56, segments.len() as u16, 64, count, count - 1] {
            file.extend(half.to_le_bytes());
        }
        for (kind, section) in segments {
            let (offset, size) = match section {
                usize::MAX => (0, end),
                at => (offsets[at], body[at].1.len() as u64),
            };
            file.extend(kind.to_le_bytes());
            file.extend(4_u32.to_le_bytes());
            for number in [offset, BASE + offset, BASE + offset, size, size, 1] {
                file.extend(number.to_le_bytes());
            }
        }
        body.iter().for_each(|(_, bytes)| file.extend(bytes));
        file.extend([0; 64]);
        for (index, (_, bytes)) in body.iter().enumerate() {
            let name = at.get(index).copied().unwrap_or(0);
            file.extend(name.to_le_bytes());
            file.extend(1_u32.to_le_bytes());
            for number in [0, 0, offsets[index], bytes.len() as u64] {
                file.extend(number.to_le_bytes());
            }
            file.resize(file.len() + 24, 0);
        }
        file
    }
}
