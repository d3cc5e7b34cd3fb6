//! What a comparison of two revisions asks for, and where it goes on.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::Query;

use super::cursor;
use super::parameter::{CONSISTENCY, CURSOR, LIMIT, PREFIX, Parameter};

/// The parameters of a comparison.
pub const PARAMETERS: [Parameter; 6] = [
    Parameter::number("from", "40"),
    Parameter::number("to", "42"),
    PREFIX,
    LIMIT,
    CURSOR,
    CONSISTENCY,
];

const FORMAT: u8 = 2;

/// A comparison, and after which key it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffRequest {
    /// The state before.
    pub from: Revision,
    /// The state after; the newest where none is named.
    pub to: Option<Revision>,
    /// Only keys that begin like this.
    pub prefix: String,
    /// After this key.
    pub after: Option<Bytes>,
}

impl DiffRequest {
    /// What the parameters ask for. Those beside a cursor may repeat what it says, and
    /// nothing else.
    ///
    /// # Errors
    /// 400 where a parameter is none of its kind, is missing, or contradicts the cursor.
    pub fn of(query: &Query) -> Result<Self, Problem> {
        let from = query.number("from")?.map(Revision);
        let to = query.number("to")?.map(Revision);
        let prefix = query.text("prefix").map(str::to_owned);
        let asked = match query.text("cursor") {
            None => {
                let from = from.ok_or_else(|| {
                    Problem::bad_request("query parameter \"from\" is missing: a revision")
                })?;
                Self { from, to, prefix: prefix.unwrap_or_default(), after: None }
            }
            Some(text) => {
                let asked: Self = cursor::decode(FORMAT, text)?;
                for (name, differs) in [
                    ("from", from.is_some_and(|from| from != asked.from)),
                    ("to", to.is_some_and(|to| Some(to) != asked.to)),
                    ("prefix", prefix.is_some_and(|prefix| prefix != asked.prefix)),
                ] {
                    if differs {
                        return Err(Problem::bad_request(format!(
                            "query parameter {name:?} contradicts the cursor, which has it already"
                        )));
                    }
                }
                asked
            }
        };
        if let Some(to) = asked.to.filter(|to| *to < asked.from) {
            let from = asked.from;
            return Err(Problem::bad_request(format!(
                "query parameter \"from\" is {from}, which comes after \"to\", {to}"
            )));
        }
        Ok(asked)
    }

    /// The text by which it is asked on with.
    #[must_use]
    pub fn encode(&self) -> String {
        cursor::encode(FORMAT, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str) -> Result<DiffRequest, u16> {
        let query = Query::parse(Some(raw), &PARAMETERS).unwrap();
        DiffRequest::of(&query).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_cursor_says_all_and_is_not_contradicted() {
        let asked = of("from=3&to=7&prefix=a/").unwrap();
        assert_eq!((asked.from, asked.to, &*asked.prefix), (Revision(3), Some(Revision(7)), "a/"));
        let later = DiffRequest { after: Some(Bytes::from_static(b"a/5")), ..asked };
        let cursor = later.encode();
        assert_eq!(of(&format!("cursor={cursor}")).as_ref(), Ok(&later));
        assert_eq!(of(&format!("cursor={cursor}&from=3&to=7&prefix=a/")), Ok(later));
        for other in ["from=4", "to=8", "prefix=a"] {
            assert_eq!(of(&format!("cursor={cursor}&{other}")), Err(400), "{other}");
        }
    }

    #[test]
    fn two_revisions_are_compared_in_their_order() {
        assert_eq!(of("from=3").unwrap().to, None);
        assert_eq!(of("from=3&to=3").unwrap().to, Some(Revision(3)));
        for bad in ["", "to=3", "from=4&to=3", "from=x", "from=-1", "from=1&to=1.5", "cursor=AAAA"]
        {
            assert_eq!(of(bad), Err(400), "{bad}");
        }
    }
}
