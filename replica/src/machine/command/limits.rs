//! The limits of the format: a batch beyond one of them is void on every replica.

/// The longest key, in bytes; eight times the default of the HTTP API.
pub const KEY_BYTES: usize = 8 << 10;
/// The longest value, in bytes; sixteen times the default of the HTTP API.
pub const VALUE_BYTES: usize = 16 << 20;
/// The longest content type, in bytes.
pub const CONTENT_TYPE_BYTES: usize = 1 << 10;
/// The most commands in a batch.
pub const BATCH_COMMANDS: usize = 4_096;
/// The longest payload of a batch, in bytes.
pub const BATCH_BYTES: usize = 32 << 20;
/// The most revisions that a guard names.
pub const GUARD_REVISIONS: usize = 64;
/// The highest time, in milliseconds: what SQLite's integers hold.
pub const TIME_MS: u64 = i64::MAX as u64;
/// The most by which a batch moves replicated time, in milliseconds: a clock that goes
/// wrong ends nothing at once that was to last longer.
pub const TIME_STEP_MS: u64 = 10_000;
/// The most backups in a view.
pub const BACKUPS: usize = 255;
/// The most replicas that are remembered to have been taken out for good. Past it the
/// oldest is forgotten: its database could join again.
pub const REMOVALS: usize = 64;
/// The most deletions of prefixes in a batch. Each leaves a range tombstone that
/// later work is held against until it is swept.
pub const BATCH_RANGES: usize = 64;
/// The most deletions of prefixes that a replica leaves unswept while it goes on
/// executing, and that a primary has under way.
pub const RANGE_TOMBSTONES: usize = 64;
/// The most keys that a roll-back looks at: those that were ever written with its
/// prefix, or those that were written since its revision, whichever are fewer. One that
/// would look at more is not executed.
pub const ROLLBACK_KEYS: usize = 10_000;
/// The most bytes of keys and contents that a roll-back writes again. One that would
/// write more is not executed.
pub const ROLLBACK_BYTES: usize = 16 << 20;
/// The most roll-backs that a primary has under way.
pub const ROLLBACKS: usize = 4;
/// The most roll-backs in a batch.
pub const BATCH_ROLLBACKS: usize = 1;
/// The most operations of a transaction, of both branches together, and the most guards;
/// eight times the default of the HTTP API.
pub const TXN_OPERATIONS: usize = 1_024;
/// The most prefixes that a transaction deletes.
pub const TXN_RANGES: usize = 16;
/// The most keys that one operation of a transaction reads.
pub const TXN_GET_ITEMS: usize = 1_000;
/// The shortest time to live of a lease, in milliseconds: below it one request that takes
/// long ends it.
pub const LEAST_TTL_MS: u64 = 100;
/// The longest time to live of a lease, in milliseconds: seven days.
pub const MOST_TTL_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// The most leases at once. They are held in memory.
pub const LEASES: usize = 100_000;
/// The most leases that one token has at once.
pub const OWNED_LEASES: usize = 10_000;
/// The most leases that one batch ends because their time is over: it is bounded, and
/// the next batch ends more.
pub const LEASES_ENDED: usize = 64;
/// The longest name of a lock, in bytes.
pub const LOCK_NAME_BYTES: usize = 1 << 10;
/// The most claims on locks at once: holders and those who wait. They are held in
/// memory.
pub const CLAIMS: usize = 100_000;
/// The most that wait for one lock.
pub const WAITERS: usize = 1_000;
/// The most bytes that a transaction reads, and so about the most that is kept of its
/// answer. One that would read more is not executed.
pub const TXN_RESULT_BYTES: usize = 1 << 20;
/// The most bytes that the transactions of a batch read together. One for which there
/// is no room left is not executed, and may be sent again.
pub const BATCH_RESULT_BYTES: usize = 2 << 20;
/// The most tokens at once. They are held in memory.
pub const TOKENS: usize = 10_000;
/// The most tokens that one batch ends because their time is over.
pub const TOKENS_ENDED: usize = 64;
/// The longest description of a token, in bytes.
pub const TOKEN_DESCRIPTION_BYTES: usize = 256;
/// The most policies of a token.
pub const TOKEN_POLICIES: usize = 16;
/// The most policies at once. They are held in memory.
pub const POLICIES: usize = 1_000;
/// The longest name of a policy, in bytes.
pub const POLICY_NAME_BYTES: usize = 128;
/// The most rules of a policy.
pub const POLICY_RULES: usize = 64;
/// The longest name of an issuer of JWTs, in bytes.
pub const ISSUER_BYTES: usize = 512;
/// The longest name of whom an issuer vouches for, in bytes.
pub const SUBJECT_BYTES: usize = 256;
/// About how many bytes all tokens and policies take together at most, and the rules that
/// are joined for each set of policies that tokens have.
pub const ACCESS_BYTES: usize = 16 << 20;
/// The shortest time to live of a token, in milliseconds: below it, it may be over when
/// whoever asked for it hears of it.
pub const LEAST_TOKEN_TTL_MS: u64 = 1_000;
/// The longest time to live of a token that ends, in milliseconds: ten years.
pub const MOST_TOKEN_TTL_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;
/// The most changes of tokens and policies in a batch: each may copy which there are, and
/// have rules joined again.
pub const BATCH_ACCESS: usize = 16;
