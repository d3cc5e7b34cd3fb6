//! Lists in messages: bounded while they are read.
//!
//! The limit on a message's bytes is not enough: an element of two bytes takes forty or
//! more in memory, and 80 MiB of them would take gigabytes before anybody could count
//! them. So a list is refused at the element that is too many, whoever sent it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// The most elements in a list of any message: sixteen times what any service puts into
/// one.
pub const MAX_ELEMENTS: usize = 65_536;

/// Reads a list of at most [`MAX_ELEMENTS`]; for
/// `#[serde(deserialize_with = "bounded::list")]`.
///
/// # Errors
/// When it is longer, or its elements are not what they should be.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Bounded(PhantomData))
}

struct Bounded<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX_ELEMENTS} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        // Nothing is set aside on the strength of an announced length.
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() == MAX_ELEMENTS {
                return Err(A::Error::invalid_length(MAX_ELEMENTS + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Message {
        #[serde(deserialize_with = "list")]
        elements: Vec<u8>,
    }

    fn through_postcard(elements: usize) -> Result<Message, postcard::Error> {
        postcard::from_bytes(
            &postcard::to_allocvec(&Message { elements: vec![7; elements] }).unwrap(),
        )
    }

    #[test]
    fn a_list_is_read_up_to_the_limit_and_refused_above_it() {
        assert_eq!(through_postcard(MAX_ELEMENTS).unwrap().elements.len(), MAX_ELEMENTS);
        assert!(through_postcard(MAX_ELEMENTS + 1).is_err());
        let json = serde_json::to_string(&Message { elements: vec![7; MAX_ELEMENTS + 1] }).unwrap();
        let error = serde_json::from_str::<Message>(&json).unwrap_err();
        assert!(error.to_string().contains("at most 65536 elements"), "{error}");
    }
}
