//! The views that queries see: the same whatever the tables below are, and however far a
//! deletion of a prefix is swept.
//!
//! `key` and `value` are the bytes as text, to compare and to search in; `bytes` are those
//! of the value as they are. `history` has the changes after the oldest revision whose state
//! can be read, and `log` a row for each slot that is kept, however far those before are
//! swept. `leases` and `locks` have no history: they show what there is, whatever revision is
//! asked for.

use shared::ids::Revision;

use crate::store::not_hidden;

/// What there is to read.
pub(super) const NAMES: [&str; 5] = ["kv", "history", "leases", "locks", "log"];

/// Who comes to the tables: views that nobody can name, since a query may give any name it
/// knows to a table expression of its own, and pass for the view of that name.
pub(super) struct Views {
    nonce: String,
    at: Revision,
    present: Revision,
}

/// What exists now.
const KV: &str = concat!(
    "SELECT CAST(l.key AS TEXT) AS key, CAST(v.value AS TEXT) AS value, v.value AS bytes, \
     v.content_type, v.revision, v.created_revision, v.version, v.lease \
     FROM live l JOIN versions v ON v.key = l.key AND v.revision = l.revision WHERE ",
    not_hidden!("l", "{at}")
);

/// What existed at a revision.
const KV_PAST: &str = concat!(
    "SELECT CAST(v.key AS TEXT) AS key, CAST(v.value AS TEXT) AS value, v.value AS bytes, \
     v.content_type, v.revision, v.created_revision, v.version, v.lease \
     FROM versions v WHERE v.revision <= {at} AND v.value IS NOT NULL AND NOT EXISTS (\
     SELECT 1 FROM versions n WHERE n.key = v.key AND n.revision > v.revision \
     AND n.revision <= {at}) AND ",
    not_hidden!("v", "{at}")
);

/// All changes of keys that are not compacted; first those in the tables, then the deletions
/// of those that are hidden, each at the first deletion of many that does. That of a key that
/// went with a lease which expired names the lease. Who made each is said where it is known.
const HISTORY: &str = "SELECT h.*, \
    CASE WHEN a.accessor IS NOT NULL THEN printf('%016x', a.accessor) END AS by, \
    a.issuer, a.subject FROM (SELECT CAST(v.key AS TEXT) AS key, v.revision, \
    CASE WHEN v.value IS NULL THEN 'delete' ELSE 'put' END AS change, \
    CAST(v.value AS TEXT) AS value, v.value AS bytes, v.content_type, v.created_revision, \
    v.version, v.lease FROM versions v WHERE v.revision <= {at} \
    AND v.revision > (SELECT compacted_below FROM main.meta) \
    UNION ALL SELECT CAST(l.key AS TEXT), min(d.revision), 'delete', NULL, NULL, NULL, \
    v.created_revision, v.version, d.lease \
    FROM live l JOIN versions v ON v.key = l.key AND v.revision = l.revision \
    JOIN (SELECT revision, first, below, NULL AS of_lease, NULL AS lease FROM range_tombstones \
    UNION ALL SELECT revision, x'', x'ff', lease, CASE expired WHEN 1 THEN lease END \
    FROM ended_leases) d ON d.revision > l.revision AND d.revision <= {at} \
    AND d.first <= l.key AND d.below > l.key AND (d.of_lease IS NULL OR d.of_lease = l.lease) \
    GROUP BY l.key HAVING min(d.revision) > (SELECT compacted_below FROM main.meta)) h \
    LEFT JOIN main.authors a ON a.revision = h.revision";

const LEASES: &str = "SELECT e.id, e.ttl_ms, max(e.expires_ms - m.time_ms, 0) AS remaining_ms \
    FROM main.leases e, main.meta m";

const LOCKS: &str = "SELECT CAST(c.name AS TEXT) AS name, c.lease, c.fence, \
    (SELECT count(*) - 1 FROM claims o WHERE o.name = c.name) AS waiters \
    FROM claims c WHERE c.fence IS NOT NULL";

const LOG: &str = "SELECT slot, ballot_round AS round, \
    printf('%016x', ballot_coordinator) AS coordinator, revision, lower(hex(hash)) AS hash \
    FROM main.log WHERE revision <= {at} AND slot >= (SELECT log_start FROM main.meta)";

impl Views {
    /// The views of a state at `present` as it was at `at`.
    pub(super) fn new(nonce: u64, at: Revision, present: Revision) -> Self {
        Self { nonce: format!("{nonce:016x}"), at, present }
    }

    /// The statements that make them.
    pub(super) fn statements(&self) -> String {
        let kv = if self.at < self.present { KV_PAST } else { KV };
        let at = self.at.to_string();
        let make = |(name, select): (&str, &str)| {
            let (inner, select) = (self.inner(name), select.replace("{at}", &at));
            format!(
                "CREATE TEMP VIEW {inner} AS {select}; \
                 CREATE TEMP VIEW {name} AS SELECT * FROM {inner};"
            )
        };
        NAMES.into_iter().zip([kv, HISTORY, LEASES, LOCKS, LOG]).map(make).collect()
    }

    /// Whether what `accessor` says may be a view of ours that reads a table.
    pub(super) fn reads_tables(&self, accessor: &str) -> bool {
        NAMES.iter().any(|name| self.inner(name) == accessor)
    }

    /// Whether a query may read this.
    pub(super) fn is_shown(&self, table: &str) -> bool {
        NAMES.contains(&table) || self.reads_tables(table)
    }

    fn inner(&self, name: &str) -> String {
        format!("{name}_{}", self.nonce)
    }
}

/// The statements that make the views of the present for people who open a snapshot. The
/// others are tables of their own there.
pub(crate) fn lasting_views() -> String {
    let present = i64::MAX.to_string();
    [("kv", KV), ("history", HISTORY), ("locks", LOCKS)]
        .map(|(name, select)| {
            format!("CREATE VIEW {name} AS {};", select.replace("{at}", &present))
        })
        .concat()
}

/// The statements that take them away.
pub(crate) const WITHOUT_LASTING_VIEWS: &str = "DROP VIEW kv; DROP VIEW history; DROP VIEW locks;";
