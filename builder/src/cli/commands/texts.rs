//! `treelay schema`, `completions` and `man`: what is generated from the definitions.

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::args::Cli;
use crate::cli::{Result, Session};

pub fn schema(session: &Session) -> Result<()> {
    let text = serde_json::to_string_pretty(&treelay_recipes::schema())?;
    session.print_raw(&(text + "\n"))
}

pub fn completions(session: &Session, shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "treelay", &mut script);
    session.print_raw(&String::from_utf8_lossy(&script))
}

/// One page with every command, because people search in one page.
pub fn man(session: &Session) -> Result<()> {
    let mut root = Cli::command();
    root.build();
    let mut page = Vec::new();
    let whole = clap_mangen::Man::new(root.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    for command in root.get_subcommands() {
        section(command, &mut page)?;
    }
    whole.render_extra_section(&mut page)?;
    whole.render_version_section(&mut page)?;
    session.print_raw(&String::from_utf8_lossy(&page))
}

fn section(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    use std::io::Write as _;

    if command.get_name() == "help" {
        return Ok(());
    }
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_uppercase();
    writeln!(page, ".SH \"{name}\"")?;
    let own = clap_mangen::Man::new(command.clone());
    own.render_synopsis_section(page)?;
    own.render_description_section(page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        own.render_options_section(page)?;
    }
    command.get_subcommands().try_for_each(|sub| section(sub, page))
}
