//! A list, a page at a time: what one answer may hold is bounded in rows and in bytes, for a message has a largest size.

use policy::reason::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lists::row;

/// Which page of a list is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// What comes after this one, as the page before named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// What still has room on a page.
pub(super) struct Room {
    rows: u64,
    bytes: usize,
}

impl Page {
    pub(super) fn room(&self) -> Room {
        Room::of(self.limit)
    }

    /// The rows of this page, and where the next one begins.
    pub(super) fn of<'a, K, V>(
        &self,
        list: &str,
        items: impl Iterator<Item = (&'a K, V)>,
        parse: impl Fn(&str) -> Result<K, Refusal>,
        told: impl Fn(&'a K, V) -> Value,
    ) -> Result<Value, Refusal>
    where
        K: Ord + ToString + 'a,
    {
        let after = self.after.as_deref().map(parse).transpose()?;
        let mut items = items.skip_while(|(key, _)| after.as_ref().is_some_and(|after| *key <= after)).peekable();
        let (mut room, mut rows, mut next) = (self.room(), Vec::new(), None);
        while let Some((key, value)) = items.next() {
            let told = told(key, value);
            room.take(&told);
            rows.push(told);
            if room.is_full() {
                next = items.peek().map(|_| key.to_string());
                break;
            }
        }
        Ok(row([(list, json!(rows)), ("next", json!(next))]))
    }
}

impl Room {
    pub(super) fn of(limit: Option<u64>) -> Self {
        Self { rows: limit.unwrap_or(MOST).clamp(1, MOST), bytes: BYTES }
    }

    pub(super) fn take(&mut self, told: &Value) {
        self.rows = self.rows.saturating_sub(1);
        // As it is written: what is no plain letter takes six bytes there.
        self.bytes = self.bytes.saturating_sub(policy::json::write(told).len());
    }

    pub(super) const fn is_full(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }
}

/// Appends a later page to an earlier one: the rows of each list, one after the other.
pub(crate) fn join(seen: &mut Value, more: Value) {
    let (Some(seen), Value::Object(more)) = (seen.as_object_mut(), more) else { return };
    seen.remove(NEXT);
    for (name, value) in more {
        match (seen.get_mut(&name).and_then(Value::as_array_mut), value) {
            (Some(rows), Value::Array(later)) => later.into_iter().for_each(|later| append(rows, later)),
            (_, value) => drop(seen.insert(name, value)),
        }
    }
}

// A host whose list went over the page's end goes on where it stopped.
fn append(rows: &mut Vec<Value>, mut later: Value) {
    let same = |row: &&mut Value| row.get("host").is_some() && row.get("host") == later.get("host");
    let Some(row) = rows.last_mut().filter(same) else {
        rows.push(later);
        return;
    };
    let more = later.get_mut("running").map(Value::take);
    if let (Some(running), Some(Value::Array(more))) = (row.get_mut("running").and_then(Value::as_array_mut), more) {
        running.extend(more);
    }
}

/// The member that names where the next page begins.
pub(crate) const NEXT: &str = "next";
// The most rows of one page.
const MOST: u64 = 1000;
// A row may go over it: a message holds twice as much.
const BYTES: usize = 512 * 1024;
/// What one row may have where nothing else bounds it, so that the last one of a page fits beside the papers.
pub(super) const MOST_OF_A_ROW: usize = 384 * 1024;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parse(text: &str) -> Result<u32, Refusal> {
        Ok(text.parse().unwrap())
    }

    // All pages, joined, and how many there were.
    fn all(items: &BTreeMap<u32, String>, limit: Option<u64>) -> (Value, usize) {
        let page = |after| Page { after, limit }.of("items", items.iter(), parse, |_, text| json!(text)).unwrap();
        let (mut seen, mut pages) = (page(None), 1);
        while let Some(next) = seen.get(NEXT).and_then(Value::as_str).map(str::to_owned) {
            let more = page(Some(next));
            join(&mut seen, more);
            pages += 1;
        }
        (seen, pages)
    }

    #[test]
    fn pages_joined_are_the_whole_list_and_none_is_empty() {
        for (count, limit, pages) in [(0, 3, 1), (3, 3, 1), (4, 3, 2), (9, 3, 3)] {
            let items: BTreeMap<u32, String> = (0..count).map(|number| (number, number.to_string())).collect();
            let (seen, counted) = all(&items, Some(limit));
            assert_eq!(seen, json!({"items": items.values().collect::<Vec<_>>()}));
            assert_eq!(counted, pages, "{count} by {limit}");
        }
    }

    #[test]
    fn no_page_grows_beyond_what_a_message_holds() {
        let items: BTreeMap<u32, String> = (0..100).map(|number| (number, "x".repeat(60_000))).collect();
        let (seen, pages) = all(&items, None);
        assert_eq!(seen["items"].as_array().unwrap().len(), 100);
        assert!(pages >= 6000 * 1024 / 1024 / 580, "{pages}");
    }

    #[test]
    fn a_host_that_goes_over_a_pages_end_is_one_host() {
        let mut seen =
            json!({"hosts": [{"host": "N1", "running": [1]}, {"host": "N2", "running": [2]}], "next": "N2/1"});
        join(&mut seen, json!({"hosts": [{"host": "N2", "running": [3]}, {"host": "N3", "running": []}]}));
        let hosts =
            json!([{"host": "N1", "running": [1]}, {"host": "N2", "running": [2, 3]}, {"host": "N3", "running": []}]);
        assert_eq!(seen, json!({"hosts": hosts}));
    }
}
