//! What hosts say is bound, held against the decisions that they name: once for each thing that runs (T102).
//!
//! A difference is an alarm and nothing more: what a host says proves what it says, not what it does.

use policy::inventory::{Bound, HostInventory, Runs};
use policy::key::{Host, Name};
use policy::log::{Body, Ruled};
use policy::question::StartRequest;

use super::Service;
use crate::error::Error;
use crate::view::said;

// What the log says in one place.
enum Place {
    // Its bytes are lost, or lie in a segment.
    Unknown,
    // It permitted nothing to this host.
    Nothing,
    // It permitted that, of what was asked.
    Permitted(Box<Ruled>, Option<Box<StartRequest>>),
}

impl Service {
    pub(super) async fn compare(&self, inventory: &HostInventory) -> Result<(), Error> {
        let mut found = Vec::new();
        for runs in self.present.uncompared(inventory) {
            let differs = self.differs(&inventory.iss, &runs).await?;
            if let Some(differs) = &differs {
                tracing::error!(host = %inventory.iss, "a host says that something else is bound than was permitted: {differs}");
            }
            found.push((runs, differs));
        }
        if !found.is_empty() {
            self.present.compared(inventory, found);
        }
        Ok(())
    }

    async fn differs(&self, host: &Name<Host>, runs: &Runs) -> Result<Option<String>, Error> {
        let Runs { component, sha256, index, .. } = runs;
        let started = self.place(host, *index).await?;
        match &started {
            Place::Nothing => {
                return Ok(Some(format!("`{component}` runs by entry {index}, which permitted it nothing")));
            }
            Place::Permitted(ruled, _) if ruled.id != *component => {
                return Ok(Some(format!("`{component}` runs by entry {index}, which permitted `{}`", ruled.id)));
            }
            Place::Permitted(_, Some(asked)) if asked.runs.sha256 != *sha256 => {
                let permitted = asked.runs.sha256;
                return Ok(Some(format!("`{component}` runs {sha256}, entry {index} permitted {permitted}")));
            }
            Place::Permitted(..) | Place::Unknown => {}
        }
        for bound in &runs.bindings {
            let Bound { package, provider, sha256, index, .. } = bound;
            // A link that was switched since was permitted by an entry of its own.
            let switched = if bound.index == runs.index { None } else { Some(self.place(host, bound.index).await?) };
            let permitted = match switched.as_ref().unwrap_or(&started) {
                Place::Unknown => true,
                Place::Nothing => false,
                Place::Permitted(ruled, _) => ruled.id == *component && permits(ruled, bound),
            };
            if !permitted {
                let what = format!("`{package}` of `{component}` is answered by {provider} {sha256}");
                return Ok(Some(format!("{what}, which entry {index} did not permit")));
            }
        }
        Ok(None)
    }

    async fn place(&self, host: &Name<Host>, index: u64) -> Result<Place, Error> {
        if self.present.lost(index) {
            return Ok(Place::Unknown);
        }
        let reader = self.reader().await?;
        let Some(row) = reader.row(index).await? else { return Ok(Place::Nothing) };
        let Some(entry) = row.entry()? else { return Ok(Place::Unknown) };
        let Body::Ruling(ruled) = entry.body else { return Ok(Place::Nothing) };
        if ruled.host != *host || ruled.reason.is_some() {
            return Ok(Place::Nothing);
        }
        let asked = reader.document(index).await?.as_deref().and_then(said).map(Box::new);
        Ok(Place::Permitted(Box::new(ruled), asked))
    }
}

fn permits(ruled: &Ruled, bound: &Bound) -> bool {
    let same = |provider, sha256| (provider, sha256) == (&bound.provider, bound.sha256);
    let of_it = ruled.outcomes.iter().filter(|it| it.package == bound.package && it.link == bound.link);
    of_it.filter_map(|it| it.grant.as_ref().ok()).any(|grant| same(&grant.provider, grant.sha256))
}
