//! Where older claims list capabilities, an import that they do not list is refused: a bound, never a permission (T49).

use super::Start;
use crate::examine::Evidence;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    let Some(Ok(Evidence::Component(claimed))) = &start.question.claims else {
        return Ok(());
    };
    let Some(caps) = &claimed.caps else {
        return Ok(());
    };
    let listed = |package: &str| {
        let contract = start.state.contracts().iter().find(|(name, _)| name.as_str() == package);
        let old_ids = contract.map_or(&[][..], |(_, published)| published.contract.legacy_ids.as_slice());
        caps.iter().any(|cap| cap.as_str() == package || old_ids.contains(cap))
    };
    match start.question.imports.iter().find(|import| !listed(import.package.as_str())) {
        None => Ok(()),
        Some(import) => {
            let detail = format!("`{}` is imported, the claims' `caps` do not list it", import.package);
            Err(Refusal::new(Reason::UndeclaredImport, detail))
        }
    }
}
