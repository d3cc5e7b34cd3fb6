//! What a query parameter or a header field is called, what it holds, and an example of it:
//! for whoever reads it, and for the contract.

/// The longest key, in bytes, unless `--max-key-bytes` says otherwise.
pub const KEY_BYTES: usize = 1_024;

/// A parameter of the path or the query, or a header field.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// What it is called.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// How many times it may be given.
    pub most: usize,
    /// As it may be written.
    pub example: &'static str,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text, of at least and at most so many characters.
    Text(usize, usize),
    /// Text that this regular expression describes.
    Pattern(&'static str),
    /// A whole number that is not below this one.
    Number(u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Parameter {
    /// One that holds this, and is given once.
    #[must_use]
    pub const fn of(name: &'static str, kind: Kind, example: &'static str) -> Self {
        Self { name, kind, most: 1, example }
    }

    /// Any text.
    #[must_use]
    pub const fn text(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Text(0, usize::MAX), example)
    }

    /// Text that a regular expression describes.
    #[must_use]
    pub const fn pattern(name: &'static str, pattern: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Pattern(pattern), example)
    }

    /// A key.
    #[must_use]
    pub const fn key(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Text(1, KEY_BYTES), example)
    }

    /// The beginning or the bound of keys.
    #[must_use]
    pub const fn prefix(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Text(0, KEY_BYTES), example)
    }

    /// A whole number.
    #[must_use]
    pub const fn number(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Number(0), example)
    }

    /// `true` or `false`.
    #[must_use]
    pub const fn flag(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Flag, example)
    }

    /// How long something may take: up to [`crate::deadline::MAX`].
    #[must_use]
    pub const fn time(name: &'static str, example: &'static str) -> Self {
        let time = "^(([1-9][0-9]{0,3}|[1-5][0-9]{4}|60000)ms|([1-9]|[1-5][0-9]|60)s)$";
        Self::pattern(name, time, example)
    }

    /// The same, which may be given so many times.
    #[must_use]
    pub const fn repeated(self, most: usize) -> Self {
        Self { most, ..self }
    }
}
