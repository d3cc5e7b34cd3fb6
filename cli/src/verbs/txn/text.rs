//! Transactions as text, a line for each guard and operation: pure.
//!
//! ```text
//! line      = [guard | operation | "else"] [comment]
//! guard     = "if" KEY ("exists" | "missing")
//!           | "if" KEY ("revision" | "version") relation NUMBER
//!           | "if" KEY "value" relation VALUE
//! relation  = "=" | "!=" | "<" | ">"
//! operation = "put" KEY VALUE ["type" TYPE]
//!           | "delete" (KEY | "prefix" PREFIX)
//!           | "get" (KEY | "prefix" PREFIX ["limit" NUMBER])
//! comment   = "#" anything
//! ```
//!
//! A word is a JSON string, or what stands between blanks. A word that is quoted is never a
//! word of the grammar: `delete "prefix"` deletes the key of that name.

use bytes::Bytes;
use client::{Compare, Guard, Op, PutOp, Subject, Test, Txn};

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(super) struct Fault {
    line: usize,
    reason: String,
}

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Bare(String),
    Quoted(String),
}

impl Word {
    fn bare(&self) -> Option<&str> {
        match self {
            Self::Bare(text) => Some(text),
            Self::Quoted(_) => None,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Bare(text) | Self::Quoted(text) => text,
        }
    }
}

/// Reads a transaction.
pub(super) fn parse(input: &str) -> Result<Txn, Fault> {
    let mut txn = Txn::default();
    let mut is_else = false;
    for (index, line) in input.lines().enumerate() {
        let at = |reason: String| Fault { line: index + 1, reason };
        let words = words(line).map_err(at)?;
        let mut words = Words(words.into_iter());
        let Some(first) = words.0.next() else { continue };
        let op = match first.bare() {
            Some("if") if is_else => {
                return Err(at(String::from("guards stand before \"else\"")));
            }
            Some("if") => {
                txn.guards.push(words.guard().map_err(at)?);
                None
            }
            Some("else") if is_else => return Err(at(String::from("a second \"else\""))),
            Some("else") => {
                is_else = true;
                None
            }
            Some("put") => Some(words.put().map_err(at)?),
            Some("delete") => Some(Op::Delete(words.subject(false).map_err(at)?)),
            Some("get") => Some(Op::Get(words.subject(true).map_err(at)?)),
            Some(_) | None => {
                let word = first.text();
                return Err(at(format!("{word:?} is none of if, put, delete, get and else")));
            }
        };
        if let Some(more) = words.0.next() {
            return Err(at(format!("{:?} is one word too many", more.text())));
        }
        let branch = if is_else { &mut txn.otherwise } else { &mut txn.then };
        branch.extend(op);
    }
    Ok(txn)
}

/// Cuts a line into its words.
fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let end = if rest.starts_with('"') {
            let mut quoted = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            let text = quoted.next().unwrap_or_else(|| Ok(String::new()));
            let text = text.map_err(|error| format!("a word in quotation marks: {error}"))?;
            words.push(Word::Quoted(text));
            quoted.byte_offset()
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(Word::Bare(rest[..end].to_owned()));
            end
        };
        let after = &rest[end..];
        rest = after.trim_start();
        if rest.len() == after.len() && !rest.is_empty() {
            return Err(format!("a blank is missing before {rest:?}"));
        }
    }
    Ok(words)
}

/// The words of a line that are still to be read.
struct Words(std::vec::IntoIter<Word>);

impl Words {
    fn next(&mut self, what: &str) -> Result<Word, String> {
        self.0.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn text(&mut self, what: &str) -> Result<String, String> {
        self.next(what).map(Word::text)
    }

    fn number(&mut self) -> Result<u64, String> {
        let text = self.text("a number")?;
        text.parse().map_err(|_| format!("{text:?} is no number"))
    }

    /// Takes the next word if it is this one of the grammar.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.0.as_slice().first().and_then(Word::bare) == Some(word);
        if is_next {
            drop(self.0.next());
        }
        is_next
    }

    fn guard(&mut self) -> Result<Guard, String> {
        let key = self.text("the key")?;
        let what = self.next("what must hold (exists, missing, revision, version or value)")?;
        let test = match what.bare() {
            Some("exists") => Test::Exists(true),
            Some("missing") => Test::Exists(false),
            Some("revision") => Test::Revision(self.compare(Self::number)?),
            Some("version") => Test::Version(self.compare(Self::number)?),
            Some("value") => {
                Test::Value(self.compare(|words| words.text("the value").map(Bytes::from))?)
            }
            Some(_) | None => {
                let word = what.text();
                return Err(format!(
                    "{word:?} is none of exists, missing, revision, version and value"
                ));
            }
        };
        Ok(Guard { key, test })
    }

    fn compare<T>(
        &mut self,
        with: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<Compare<T>, String> {
        let relation = self.text("the relation (=, !=, < or >)")?;
        let relation = match relation.as_str() {
            "=" => Compare::Eq,
            "!=" => Compare::Ne,
            "<" => Compare::Lt,
            ">" => Compare::Gt,
            other => return Err(format!("{other:?} is none of =, !=, < and >")),
        };
        with(self).map(relation)
    }

    fn put(&mut self) -> Result<Op, String> {
        let (key, value) = (self.text("the key")?, self.text("the value")?);
        let content_type = self.takes("type").then(|| self.text("the type")).transpose()?;
        let lease = self.takes("lease").then(|| self.number()).transpose()?;
        Ok(Op::Put(PutOp { key, value: value.into(), content_type, lease }))
    }

    fn subject(&mut self, may_be_limited: bool) -> Result<Subject, String> {
        if !self.takes("prefix") {
            return self.text("the key").map(Subject::Key);
        }
        let prefix = self.text("the prefix")?;
        let limited = may_be_limited && self.takes("limit");
        let limit = limited.then(|| self.number()).transpose()?;
        Ok(Subject::Prefix { prefix, limit })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_line_is_a_guard_or_an_operation() {
        let text = r#"
            # move a job, if nobody did
            if jobs/1 exists
            if "done" missing
            if jobs/1 revision = 7
            if jobs/1 version != 2   # not the second
            if jobs/1 value > "two words\n"
            put "done" "{\"by\": \"me\"}" type application/json
            put empty "" lease 7
            delete jobs/1
            delete prefix jobs/1/
            delete "prefix"
            get done
            else
            get prefix jobs/ limit 5
            get prefix ""
        "#;
        let expected = json!({
            "if": [
                {"key": "jobs/1", "exists": true},
                {"key": "done", "exists": false},
                {"key": "jobs/1", "revision": {"eq": 7}},
                {"key": "jobs/1", "version": {"ne": 2}},
                {"key": "jobs/1", "value": {"gt": "two words\n"}, "encoding": "utf8"},
            ],
            "then": [
                {"put": {"key": "done", "value": "{\"by\": \"me\"}", "encoding": "utf8",
                    "content_type": "application/json"}},
                {"put": {"key": "empty", "value": "", "encoding": "utf8", "lease": 7}},
                {"delete": {"key": "jobs/1"}},
                {"delete": {"prefix": "jobs/1/"}},
                {"delete": {"key": "prefix"}},
                {"get": {"key": "done"}},
            ],
            "else": [{"get": {"prefix": "jobs/", "limit": 5}}, {"get": {"prefix": ""}}],
        });
        assert_eq!(serde_json::to_value(parse(text).unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_none_is_named_with_what_is_wrong() {
        for (text, line, names) in [
            ("if a", 1, "what must hold"),
            ("if a is there", 1, "\"is\" is none of exists"),
            ("if a revision == 3", 1, "\"==\" is none of"),
            ("if a version = three", 1, "\"three\" is no number"),
            ("\n\nput a", 3, "the value is missing"),
            ("put a b c", 1, "\"c\" is one word too many"),
            ("delete prefix a limit 3", 1, "\"limit\" is one word too many"),
            ("get prefix a limit", 1, "a number is missing"),
            ("set a 1", 1, "\"set\" is none of if, put"),
            ("\"put\" a 1", 1, "\"put\" is none of if, put"),
            ("put a \"1", 1, "a word in quotation marks"),
            ("put a \"1\"2", 1, "a blank is missing before \"2\""),
            ("else\nif a exists", 2, "guards stand before"),
            ("else\nelse", 2, "a second"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.line == line && fault.reason.contains(names), "{text:?}: {fault}");
        }
    }

    #[test]
    fn nothing_is_a_transaction_that_does_nothing() {
        assert_eq!(parse("\n  # nothing\n").unwrap(), Txn::default());
    }
}
