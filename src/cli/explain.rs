//! `vestibule explain CODE`: the long text of a code, without a network.

use super::{Exit, ExplainArguments, complain, say};
use crate::config::diagnostics::Code;

/// Explains a code of a configuration finding, or whatever else `others` knows (codes of error pages).
pub(super) fn explain(arguments: &ExplainArguments, others: impl Fn(&str) -> Option<&'static str>) -> Exit {
    let wanted = arguments.code.trim();
    let of_config = Code::parse(wanted).map(|code| format!("{}: {}", code.as_str(), code.explanation()));
    match of_config.or_else(|| others(wanted).map(str::to_owned)) {
        Some(text) => {
            say(&format!("{}\n", text.trim_end()));
            Exit::Ok
        }
        None => {
            let codes: Vec<&str> = Code::all().map(Code::as_str).collect();
            let (first, last) = (codes.first().unwrap_or(&""), codes.last().unwrap_or(&""));
            complain(&format!(
                "error: there is no code \"{}\"; codes of the configuration are {first} to {last}, those of pages look like VB-1002\n",
                wanted.escape_default()
            ));
            Exit::Usage
        }
    }
}
