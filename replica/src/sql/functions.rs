//! The functions that a query may call: those that compute a value of what they are given, or of
//! the time, and do nothing else. None loads code, reads or writes a file, waits, or looks at
//! more of the database than it is given. What SQLite has besides is refused, and so is what a
//! newer one brings, until it stands here.

/// In order, as SQLite names them. How long a value they make may be is limited for all.
#[rustfmt::skip]
pub(crate) const CALLED: [&str; 100] = [
    "->", "->>", "abs", "avg", "char", "coalesce", "concat", "concat_ws", "count", "cume_dist",
    "current_date", "current_time", "current_timestamp", "date", "datetime", "dense_rank",
    "first_value", "format", "glob", "group_concat", "hex", "if", "ifnull", "iif", "instr", "json",
    "json_array", "json_array_length", "json_error_position", "json_extract", "json_group_array",
    "json_group_object", "json_insert", "json_object", "json_patch", "json_pretty", "json_quote",
    "json_remove", "json_replace", "json_set", "json_type", "json_valid", "jsonb", "jsonb_array",
    "jsonb_extract", "jsonb_group_array", "jsonb_group_object", "jsonb_insert", "jsonb_object",
    "jsonb_patch", "jsonb_remove", "jsonb_replace", "jsonb_set", "julianday", "lag", "last_value",
    "lead", "length", "like", "likelihood", "likely", "lower", "ltrim", "max", "min", "nth_value",
    "ntile", "nullif", "octet_length", "percent_rank", "printf", "quote", "random", "randomblob",
    "rank", "replace", "round", "row_number", "rtrim", "sign", "soundex", "sqlite_version",
    "strftime", "string_agg", "substr", "substring", "sum", "time", "timediff", "total", "trim",
    "typeof", "unhex", "unicode", "unistr", "unistr_quote", "unixepoch", "unlikely", "upper",
    "zeroblob",
];

/// Whether a query may call it.
pub(super) fn may_be_called(name: &str) -> bool {
    CALLED.binary_search(&name).is_ok()
}
