//! Conditional requests (RFC 9110, section 13), with the modification revision as the
//! entity tag: `ETag: "17"`.

use http::{HeaderMap, HeaderName, header};
use shared::ids::Revision;
use shared::problem::Problem;

/// What a mutation's headers make it depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    Always,
    /// `If-Match: "17", "18"`: the key is at one of these revisions, at most
    /// [`MAX_TAGS`]. Tags that are none of ours are left out, since no key ever has one:
    /// the list may be empty.
    IfMatch(Vec<Revision>),
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
        (Some(Tags::Listed(tags)), None) => {
            Ok(Guard::IfMatch(tags.iter().filter_map(Tag::strong).collect()))
        }
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
        let matches = |tags: &Tags, read: fn(&Tag) -> Option<Revision>| match tags {
            Tags::Any => present.is_some(),
            Tags::Listed(tags) => present.is_some() && tags.iter().any(|tag| read(tag) == present),
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
    /// None where the tag is none of ours.
    revision: Option<Revision>,
}

impl Tag {
    /// The revision by strong comparison: a weak tag equals nothing.
    fn strong(&self) -> Option<Revision> {
        self.revision.filter(|_| !self.weak)
    }

    /// The revision by weak comparison.
    fn weak(&self) -> Option<Revision> {
        self.revision
    }
}

/// The most entity tags in all fields of one name.
pub const MAX_TAGS: usize = 64;

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut listed = Vec::new();
    let mut any = false;
    for field in headers.get_all(name) {
        let mut rest = field.as_bytes();
        while let Some(element) = next_element(&mut rest).ok_or_else(|| malformed(name))? {
            match element {
                Element::Any => any = true,
                Element::Tag(tag) => listed.push(tag),
            }
        }
    }
    match (any, listed.len()) {
        (false, 0) if headers.contains_key(name) => Err(malformed(name)),
        (false, 0) => Ok(None),
        (true, 0) => Ok(Some(Tags::Any)),
        (false, ..=MAX_TAGS) => Ok(Some(Tags::Listed(listed))),
        (false, _) => Err(Problem::bad_request(format!(
            "{} lists more than {MAX_TAGS} entity tags",
            shown(name)
        ))),
        (true, _) => Err(malformed(name)),
    }
}

fn shown(name: &HeaderName) -> &'static str {
    if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" }
}

fn malformed(name: &HeaderName) -> Problem {
    Problem::bad_request(format!(
        "{} is neither * nor a list of entity tags in quotation marks, such as \"17\", \"18\"",
        shown(name)
    ))
}

enum Element {
    Any,
    Tag(Tag),
}

/// Takes the next element off a list (RFC 9110, 5.6.1), which may have empty ones. A tag
/// ends at its quotation mark and nowhere else: a comma inside is a part of it (8.8.3).
/// `None` where it is malformed.
fn next_element(rest: &mut &[u8]) -> Option<Option<Element>> {
    let is_filling = |byte: &u8| matches!(byte, b',' | b' ' | b'\t');
    let text = &rest[rest.iter().take_while(|byte| is_filling(byte)).count()..];
    if text.is_empty() {
        *rest = text;
        return Some(None);
    }
    let (element, after) = match text.strip_prefix(b"*") {
        Some(after) => (Element::Any, after),
        None => {
            let (weak, quoted) =
                text.strip_prefix(b"W/").map_or((false, text), |quoted| (true, quoted));
            let quoted = quoted.strip_prefix(b"\"")?;
            let (opaque, after) =
                quoted.split_at_checked(quoted.iter().position(|b| *b == b'"')?)?;
            // No blanks in a tag: whoever writes "1, 2" for two of them is told.
            let is_tag_byte = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
            if !opaque.iter().all(is_tag_byte) {
                return None;
            }
            (Element::Tag(Tag { weak, revision: ours(opaque) }), &after[1..])
        }
    };
    let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    *rest = &after[blanks..];
    (rest.is_empty() || rest.starts_with(b",")).then_some(Some(element))
}

/// The revision that a tag of ours names; "017" is not what we wrote.
fn ours(opaque: &[u8]) -> Option<Revision> {
    let text = std::str::from_utf8(opaque).ok()?;
    let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text)?;
    (number > 0).then_some(Revision(number))
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
        let listed =
            |numbers: &[u64]| Ok(Guard::IfMatch(numbers.iter().copied().map(Revision).collect()));
        let if_match = |value: &str| guard(&[("if-match", value)]);
        assert_eq!(guard(&[]), Ok(Guard::Always));
        assert_eq!(if_match("*"), Ok(Guard::IfMatchAny));
        assert_eq!(guard(&[("if-none-match", "*")]), Ok(Guard::IfNoneMatchAny));
        assert_eq!(if_match("\"17\""), listed(&[17]));
        assert_eq!(if_match("\"17\", \"18\",\t\"19\""), listed(&[17, 18, 19]));
        assert_eq!(if_match(", \"17\" ,, \"18\" ,"), listed(&[17, 18]));
        assert_eq!(guard(&[("if-match", "\"1\""), ("if-match", "\"2\"")]), listed(&[1, 2]));
    }

    #[test]
    fn a_tag_that_cannot_match_is_left_out() {
        for tag in
            ["\"abc\"", "W/\"17\"", "\"\"", "\"017\"", "\"+17\"", "\"0\"", "\"17,18\"", "\"a,\""]
        {
            assert_eq!(guard(&[("if-match", tag)]), Ok(Guard::IfMatch(vec![])), "{tag}");
            let beside = format!("{tag}, \"17\"");
            let one = Guard::IfMatch(vec![Revision(17)]);
            assert_eq!(guard(&[("if-match", &beside)]), Ok(one), "{tag}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for fields in [
            &[("if-match", "17")][..],
            &[("if-match", "")],
            &[("if-match", ",")],
            &[("if-match", "\"17")],
            &[("if-match", "\"1\" \"2\"")],
            &[("if-match", "\"1\"\"2\"")],
            &[("if-match", "\"1\"x")],
            &[("if-match", "\"1, 2\"")],
            &[("if-match", "w/\"1\"")],
            &[("if-match", "*, \"1\"")],
            &[("if-match", "*"), ("if-match", "\"1\"")],
            &[("if-none-match", "\"17\"")],
            &[("if-match", "*"), ("if-none-match", "*")],
        ] {
            assert_eq!(guard(fields), Err(400), "{fields:?}");
        }
        let many = |number: usize| vec!["\"1\""; number].join(",");
        assert!(guard(&[("if-match", &many(MAX_TAGS))]).is_ok());
        assert_eq!(guard(&[("if-match", &many(MAX_TAGS + 1))]), Err(400));
    }

    #[test]
    fn a_read_is_not_answered_again_with_what_the_caller_has() {
        let judge = |fields: &[(&'static str, &str)], present: Option<u64>| {
            ReadConditions::of(&headers(fields)).unwrap().judge(present.map(Revision))
        };
        assert_eq!(judge(&[], Some(17)), Verdict::Answer);
        assert_eq!(judge(&[("if-none-match", "\"17\"")], Some(17)), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "\"3\", W/\"17\"")], Some(17)), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "\"a,b\",\"17\"")], Some(17)), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "\"17,18\"")], Some(17)), Verdict::Answer);
        assert_eq!(judge(&[("if-none-match", "\"x\"")], None), Verdict::Answer);
        assert_eq!(judge(&[("if-match", "\"x\"")], None), Verdict::Failed);
        assert_eq!(judge(&[("if-match", "W/\"17\"")], Some(17)), Verdict::Failed);
        assert_eq!(judge(&[("if-match", "\"16\", \"17\"")], Some(17)), Verdict::Answer);
        assert_eq!(judge(&[("if-none-match", "*")], Some(17)), Verdict::NotModified);
        assert_eq!(judge(&[("if-none-match", "\"16\"")], Some(17)), Verdict::Answer);
        assert_eq!(judge(&[("if-none-match", "*")], None), Verdict::Answer);
        assert_eq!(judge(&[("if-match", "\"16\"")], Some(17)), Verdict::Failed);
        assert_eq!(judge(&[("if-match", "*")], None), Verdict::Failed);
        assert_eq!(judge(&[("if-match", "\"17\"")], Some(17)), Verdict::Answer);
    }
}
