//! Programs: ELF files, and what Go's linker writes into them.

use std::io::{self, Cursor, Read};

use treelay_layers::elf::{Elf, Program};
use treelay_layers::go::BuildInfo;

use super::told;

/// The headers of a program make sense, or it is refused; whatever they say, reading them takes little.
pub fn elf(bytes: &[u8]) -> bool {
    let elf = Elf::parse(bytes);
    assert!(elf.is_none_or(|elf| !elf.to_string().is_empty()));
    let open = || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(Cursor::new(bytes.to_vec()))) };
    let program = match (Program::read(&open), Program::read_loaded(&open)) {
        (Ok(program), Ok(loaded)) => {
            assert_eq!(Program { sections: Vec::new(), ..program.clone() }, loaded);
            program
        }
        (Err(error), _) => return told(&error),
        (Ok(_), Err(error)) => panic!("without sections it is refused: {error}"),
    };
    for section in &program.sections {
        // At the very end of all offsets there is no place for a byte.
        let some = section.size > 0 && section.offset < u64::MAX;
        assert!(!some || program.section_at(section.offset).is_some(), "{section:?}");
    }
    if let Err(error) = BuildInfo::read(&program, &open) {
        told(&error);
    }
    elf.is_some()
}
