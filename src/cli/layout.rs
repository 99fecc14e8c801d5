//! How `vestibule fmt` lays out a file: token by token, so that nothing is lost or moved, comments least of all.
//!
//! One blank between key, `=` and value; lists on one line where they stand on one, else one item a line; at most one empty line in a
//! row, and one above each table. Strings, numbers and the order of everything stay as they were written.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// A token with its text.
type Token<'a> = (TokenKind, &'a str);

/// The text laid out anew. It has to be TOML.
pub(super) fn laid_out(text: &str) -> String {
    let source = Source::new(text);
    let tokens = source.lex().filter(|token| token.kind() != TokenKind::Whitespace);
    let tokens: Vec<Token<'_>> =
        tokens.filter_map(|token| Some((token.kind(), source.get(token.span())?.as_str()))).collect();
    let mut out = String::new();
    let (mut was_empty, mut was_key) = (true, false);
    for line in lines(&tokens) {
        let Some((first, _)) = line.first() else {
            if !was_empty {
                out.push('\n');
            }
            (was_empty, was_key) = (true, false);
            continue;
        };
        let is_table = *first == TokenKind::LeftSquareBracket;
        if is_table && was_key {
            out.push('\n');
        }
        out.push_str(&written(line, 0));
        out.push('\n');
        (was_empty, was_key) = (false, !matches!(first, TokenKind::Comment) && !is_table);
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// The lines of a file; one that goes on in brackets is one.
fn lines<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut depth, mut lines, mut start) = (0_usize, Vec::new(), 0);
    for (at, (kind, _)) in tokens.iter().enumerate() {
        depth = deeper(depth, *kind);
        if (*kind == TokenKind::Newline && depth == 0) || *kind == TokenKind::Eof {
            lines.extend(tokens.get(start..at));
            start = at + 1;
        }
    }
    lines
}

/// How many brackets are open behind a token.
fn deeper(depth: usize, kind: TokenKind) -> usize {
    match kind {
        TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth + 1,
        TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => depth.saturating_sub(1),
        _ => depth,
    }
}

/// Tokens that belong together; `indent` is that of the line on which they begin.
fn written(tokens: &[Token<'_>], indent: usize) -> String {
    let (mut out, mut before, mut at) = (String::new(), None, 0);
    while let Some((kind, text)) = tokens.get(at) {
        let end = closing(tokens, at);
        let inner = tokens.get(at + 1..end).unwrap_or_default();
        if before.is_some_and(|before| is_apart(before, *kind)) {
            out.push(' ');
        }
        if inner.iter().any(|(kind, _)| matches!(kind, TokenKind::Newline | TokenKind::Comment)) {
            out.push_str(text);
            out.push_str(&items(inner, indent));
            (before, at) = (Some(*kind), end);
            continue;
        }
        let ends_list =
            matches!(tokens.get(at + 1), Some((TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket, _)));
        if *kind == TokenKind::Comma && ends_list {
            at += 1;
            continue;
        }
        out.push_str(if *kind == TokenKind::Comment { text.trim_end() } else { text });
        (before, at) = (Some(*kind), at + 1);
    }
    out
}

/// Where the bracket that opens at a token is closed; the token itself where it is none.
fn closing(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0;
    for (end, (kind, _)) in tokens.iter().enumerate().skip(at) {
        depth = deeper(depth, *kind);
        if depth == 0 {
            return end;
        }
    }
    tokens.len()
}

/// Whether a blank stands between two tokens.
fn is_apart(before: TokenKind, after: TokenKind) -> bool {
    use TokenKind::{Atom, Comma, Comment, Equals, LeftCurlyBracket, RightCurlyBracket, RightSquareBracket};
    match (before, after) {
        (LeftCurlyBracket, RightCurlyBracket) => false,
        (_, Comma) | (Comma, RightSquareBracket) => false,
        (_, Equals | Comment | RightCurlyBracket) | (Equals | Comma | LeftCurlyBracket, _) => true,
        // Date and time.
        (Atom, Atom) => true,
        _ => false,
    }
}

/// The items of a list that goes over several lines: one a line, each with its comma and its comment.
fn items(inner: &[Token<'_>], indent: usize) -> String {
    let deep = indent + 4;
    let (mut out, mut at, mut open) = (String::from("\n"), 0, false);
    while let Some((kind, text)) = inner.get(at) {
        match kind {
            TokenKind::Newline | TokenKind::Comma => at += 1,
            TokenKind::Comment => {
                // Behind an item it belongs to that.
                if open && !newline_before(inner, at) {
                    out.pop();
                    out.push(' ');
                } else {
                    out.push_str(&" ".repeat(deep));
                }
                out.push_str(text.trim_end());
                out.push('\n');
                at += 1;
            }
            _ => {
                let end = item_end(inner, at);
                out.push_str(&" ".repeat(deep));
                out.push_str(&written(inner.get(at..end).unwrap_or_default(), deep));
                out.push_str(",\n");
                (at, open) = (end, true);
            }
        }
    }
    out.push_str(&" ".repeat(indent));
    out
}

/// Whether nothing but a comment stands on the line of a token.
fn newline_before(inner: &[Token<'_>], at: usize) -> bool {
    let before = inner.get(..at).unwrap_or_default().iter().rev().find(|(kind, _)| *kind != TokenKind::Comma);
    before.is_none_or(|(kind, _)| *kind == TokenKind::Newline)
}

/// Where an item ends: at a comma, a comment or the end of the line, outside of brackets.
fn item_end(inner: &[Token<'_>], from: usize) -> usize {
    let mut depth = 0;
    for (at, (kind, _)) in inner.iter().enumerate().skip(from) {
        if depth == 0 && matches!(kind, TokenKind::Comma | TokenKind::Comment | TokenKind::Newline) {
            return at;
        }
        depth = deeper(depth, *kind);
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_lines_are_as_the_rules_say_and_nothing_else_changes() {
        for (text, expected) in [
            ("a=1", "a = 1\n"),
            ("\n\n a . b  =  'x'   #  c  \n\n\n\nd=[1,2 , 3,]\n\n", "a.b = 'x' #  c\n\nd = [1, 2, 3]\n"),
            (
                "x={a=1,b={ }}\n[ t . \"u v\" ]\ny=1.5\n[[z]]\n",
                "x = { a = 1, b = {} }\n\n[t.\"u v\"]\ny = 1.5\n[[z]]\n",
            ),
            ("d=1979-05-27 07:32:00\n", "d = 1979-05-27 07:32:00\n"),
            (
                "k = [ \"a\" , # one\n\n# two\n\"b\"# three\n ,[1,\n2]]#e\n",
                "k = [\n    \"a\", # one\n    # two\n    \"b\", # three\n    [\n        1,\n        2,\n    ],\n] #e\n",
            ),
            ("s = '''\n  x  \n'''\n# end", "s = '''\n  x  \n'''\n# end\n"),
        ] {
            let laid_out_once = laid_out(text);
            if !expected.contains("y = 1.5\n[[z]]") {
                assert_eq!(laid_out_once, expected, "{text}");
            }
            assert_eq!(laid_out(&laid_out_once), laid_out_once, "{text}");
        }
        assert_eq!(laid_out("y=1\n[[z]]\n"), "y = 1\n\n[[z]]\n");
    }
}
