//! Conditional requests (RFC 9110, section 13), with the modification revision as the
//! entity tag: `ETag: "17"`.

use http::{HeaderMap, HeaderName, header};
use shared::ids::Revision;
use shared::problem::Problem;

/// What a mutation's headers make it depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    Always,
    /// `If-Match: "17"`: the key is at this revision. A tag that is none of ours stands
    /// for revision 0, which no key ever has.
    IfMatch(Revision),
    /// `If-Match: *`: the key exists.
    IfMatchAny,
    /// `If-None-Match: *`: the key does not exist.
    IfNoneMatchAny,
}

/// The entity tag of a revision.
#[must_use]
pub fn etag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// Reads the guard of a mutation.
///
/// # Errors
/// 400 where the fields are malformed, or contradict each other.
pub fn guard_of(headers: &HeaderMap) -> Result<Guard, Problem> {
    let if_match = tags(headers, &header::IF_MATCH)?;
    let if_none_match = tags(headers, &header::IF_NONE_MATCH)?;
    match (if_match, if_none_match) {
        (None, None) => Ok(Guard::Always),
        (Some(Tags::Any), None) => Ok(Guard::IfMatchAny),
        (Some(Tags::Listed(tags)), None) => match tags.as_slice() {
            [tag] => Ok(Guard::IfMatch(tag.strong())),
            _ => Err(Problem::bad_request("If-Match takes one entity tag here")),
        },
        (None, Some(Tags::Any)) => Ok(Guard::IfNoneMatchAny),
        (None, Some(Tags::Listed(_))) => {
            Err(Problem::bad_request("If-None-Match takes only * on a mutation"))
        }
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("If-Match and If-None-Match exclude each other"))
        }
    }
}

/// What a read's headers say of the answer.
#[derive(Debug, Default)]
pub struct ReadConditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// How a read is answered, given what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// With what is there.
    Answer,
    /// 304: the caller has it already.
    NotModified,
    /// 412: it is not what the caller asked for.
    Failed,
}

impl ReadConditions {
    /// Reads them.
    ///
    /// # Errors
    /// 400 where a field is malformed.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: tags(headers, &header::IF_MATCH)?,
            if_none_match: tags(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Judges a key that exists at a revision, or does not exist.
    #[must_use]
    pub fn judge(&self, present: Option<Revision>) -> Verdict {
        let matches = |tags: &Tags, read: fn(&Tag) -> Revision| match (tags, present) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::Listed(tags), Some(revision)) => tags.iter().any(|tag| read(tag) == revision),
        };
        if self.if_match.as_ref().is_some_and(|tags| !matches(tags, Tag::strong)) {
            return Verdict::Failed;
        }
        if self.if_none_match.as_ref().is_some_and(|tags| matches(tags, Tag::weak)) {
            Verdict::NotModified
        } else {
            Verdict::Answer
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    Listed(Vec<Tag>),
}

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// 0 where the tag is none of ours.
    revision: Revision,
}

impl Tag {
    /// The revision by strong comparison: a weak tag equals nothing.
    fn strong(&self) -> Revision {
        if self.weak { Revision(0) } else { self.revision }
    }

    /// The revision by weak comparison.
    fn weak(&self) -> Revision {
        self.revision
    }
}

/// The most entity tags in one header field.
const MAX_TAGS: usize = 64;

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut listed = Vec::new();
    let mut any = false;
    for field in headers.get_all(name) {
        let text = field.to_str().map_err(|_| malformed(name))?;
        for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            if element == "*" {
                any = true;
            } else {
                listed.push(tag(element).ok_or_else(|| malformed(name))?);
            }
        }
    }
    match (any, listed.is_empty()) {
        (false, true) if headers.contains_key(name) => Err(malformed(name)),
        (false, true) => Ok(None),
        (true, true) => Ok(Some(Tags::Any)),
        (false, false) if listed.len() <= MAX_TAGS => Ok(Some(Tags::Listed(listed))),
        (false | true, false) => Err(malformed(name)),
    }
}

fn malformed(name: &HeaderName) -> Problem {
    let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
    Problem::bad_request(format!(
        "{name} is neither * nor an entity tag in quotation marks, such as \"17\""
    ))
}

fn tag(element: &str) -> Option<Tag> {
    let (weak, quoted) = match element.strip_prefix("W/") {
        Some(quoted) => (true, quoted),
        None => (false, element),
    };
    let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if opaque.contains('"') {
        return None;
    }
    // "017" is not what we wrote, so it is none of ours.
    let ours = opaque.parse::<u64>().ok().filter(|number| number.to_string() == opaque);
    Some(Tag { weak, revision: Revision(ours.unwrap_or(0)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn guard(fields: &[(&'static str, &str)]) -> Result<Guard, u16> {
        guard_of(&headers(fields)).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_mutation_depends_on_what_its_headers_say() {
        assert_eq!(guard(&[]), Ok(Guard::Always));
        assert_eq!(guard(&[("if-match", "\"17\"")]), Ok(Guard::IfMatch(Revision(17))));
        assert_eq!(guard(&[("if-match", "*")]), Ok(Guard::IfMatchAny));
        assert_eq!(guard(&[("if-none-match", "*")]), Ok(Guard::IfNoneMatchAny));
    }

    #[test]
    fn a_tag_that_cannot_match_stands_for_no_revision() {
        for tag in ["\"abc\"", "W/\"17\"", "\"\"", "\"017\"", "\"+17\""] {
            assert_eq!(guard(&[("if-match", tag)]), Ok(Guard::IfMatch(Revision(0))), "{tag}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for fields in [
            &[("if-match", "17")][..],
            &[("if-match", "")],
            &[("if-match", "\"17")],
            &[("if-match", "\"1\", \"2\"")],
            &[("if-match", "\"1\""), ("if-match", "\"2\"")],
            &[("if-match", "*, \"1\"")],
            &[("if-none-match", "\"17\"")],
            &[("if-match", "*"), ("if-none-match", "*")],
        ] {
            assert_eq!(guard(fields), Err(400), "{fields:?}");
        }
    }

    #[test]
    fn a_read_is_not_answered_again_with_what_the_caller_has() {
        let judge = |fields: &[(&'static str, &str)], present: Option<u64>| {
            ReadConditions::of(&headers(fields)).unwrap().judge(present.map(Revision))
        };
        assert_eq!(judge(&[], Some(17)), Verdict::Answer);
        assert_eq!(judge(&[("if-none-match", "\"17\"")], Some(17)), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "\"3\", W/\"17\"")], Some(17)), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "*")], Some(17)), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "\"16\"")], Some(17)), Verdict::Answer);
        assert_eq!(judge(&[("if-none-match", "*")], None), Verdict::Answer);
        assert_eq!(judge(&[("if-match", "\"16\"")], Some(17)), Verdict::Failed);
        assert_eq!(judge(&[("if-match", "*")], None), Verdict::Failed);
        assert_eq!(judge(&[("if-match", "\"17\"")], Some(17)), Verdict::Answer);
    }
}
