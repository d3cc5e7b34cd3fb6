//! Finding a piece of source text that a formatter may have broken into other lines.
//!
//! Texts are compared without what formatting decides: white space, comments that have
//! lines of their own, and a comma before a closing bracket.

use std::ops::Range;

/// Why a piece of text can't be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// It must stand there exactly once.
    #[error("this stands there {times} times instead of once:\n{find}")]
    Times {
        /// What was looked for.
        find: String,
        /// How often it was found.
        times: usize,
    },
    /// Two pieces are partly the same text.
    #[error("this overlaps with what another edit finds:\n{0}")]
    Overlap(String),
}

/// The text with each of these pieces, which stand in it exactly once, replaced.
///
/// # Errors
/// When one stands there more or less often, or two overlap.
pub fn replace_once<'a>(
    text: &str,
    edits: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, MatchError> {
    let bare = Bare::of(text);
    let mut places = Vec::new();
    for (find, replace) in edits {
        places.push((bare.only_place_of(find)?, find, replace));
    }
    places.sort_by_key(|(place, ..)| place.start);
    let mut result = String::new();
    let mut done = 0;
    for (place, find, replace) in places {
        if place.start < done {
            return Err(MatchError::Overlap(find.to_owned()));
        }
        result.push_str(&text[done..place.start]);
        result.push_str(replace);
        done = place.end;
    }
    result.push_str(&text[done..]);
    Ok(result)
}

/// A text without what formatting decides.
struct Bare {
    text: String,
    /// For each of its bytes, where it stands in the whole text.
    places: Vec<usize>,
}

impl Bare {
    fn of(whole: &str) -> Self {
        let mut bare = Self { text: String::new(), places: Vec::new() };
        let mut start = 0;
        for line in whole.split_inclusive('\n') {
            if !line.trim_start().starts_with("//") {
                line.char_indices().for_each(|(at, char)| bare.push(start + at, char));
            }
            start += line.len();
        }
        bare
    }

    fn push(&mut self, place: usize, char: char) {
        if char.is_whitespace() {
            return;
        }
        if matches!(char, ')' | ']' | '}' | '>') && self.text.ends_with(',') {
            self.text.pop();
            self.places.pop();
        }
        self.text.push(char);
        self.places.extend(place..place + char.len_utf8());
    }

    fn only_place_of(&self, find: &str) -> Result<Range<usize>, MatchError> {
        let wanted = Self::of(find).text;
        let mut found = self.text.match_indices(&wanted);
        match (found.next(), found.next()) {
            (Some((at, _)), None) if !wanted.is_empty() => {
                Ok(self.places[at]..self.places[at + wanted.len() - 1] + 1)
            }
            (first, second) => {
                let times = [first, second].into_iter().flatten().count() + found.count();
                Err(MatchError::Times { find: find.to_owned(), times })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn one() {\n    // Why.\n    call(\n        first,\n        second,\n    \
        );\n}\nfn two() { call(third); }\n";

    fn replaced(edits: &[(&str, &str)]) -> Result<String, MatchError> {
        replace_once(TEXT, edits.iter().copied())
    }

    #[test]
    fn a_piece_is_found_however_it_is_broken_into_lines() {
        let expected = "fn one() {\n    // Why.\n    other();\n}\nfn two() { call(third); }\n";
        assert_eq!(replaced(&[("call(first, second)", "other()")]).unwrap(), expected);
        let over_a_comment = "fn one() { call(first, second); }";
        assert_eq!(replaced(&[(over_a_comment, "")]).unwrap(), "\nfn two() { call(third); }\n");
    }

    #[test]
    fn several_pieces_are_replaced_in_any_order() {
        let result = replaced(&[("third", "3"), ("call(first,", "call(1,")]).unwrap();
        assert!(result.contains("call(1,\n        second,"), "{result}");
        assert!(result.contains("call(3)"), "{result}");
    }

    #[test]
    fn a_piece_that_stands_there_twice_or_never_is_refused() {
        let times = |find: &str| match replaced(&[(find, "")]) {
            Err(MatchError::Times { times, .. }) => times,
            other => panic!("{other:?}"),
        };
        assert_eq!(times("call("), 2);
        assert_eq!(times("nowhere"), 0);
        assert_eq!(times("fn"), 2);
        assert_ne!(times(" \n"), 1, "nothing is no place");
        assert_ne!(times("// Why."), 1, "a comment is no place");
    }

    #[test]
    fn pieces_that_overlap_are_refused() {
        let overlap = replaced(&[("call(first, second)", ""), ("first", "")]);
        assert_eq!(overlap, Err(MatchError::Overlap("first".to_owned())));
    }
}
