//! Nothing answers its own import: a provider linked to itself would wait for itself for ever.

use super::Binding;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(binding: &Binding<'_>) -> Result<(), Refusal> {
    let (provider, runs) = (binding.candidate()?.provider, &binding.start.question.runs);
    if provider.subject != runs.subject {
        return Ok(());
    }
    let detail = format!("`{}` would answer its own import of `{}`", runs.id, binding.import.package);
    Err(Refusal::new(Reason::AnswersItself, detail))
}

pub(super) fn fact(binding: &Binding<'_>) -> String {
    let runs = &binding.start.question.runs.subject;
    binding.candidate().map_or_else(
        |_| "no candidate".to_owned(),
        |candidate| format!("the provider is `{}`, what would start is `{runs}`", candidate.provider.subject),
    )
}

#[cfg(test)]
mod tests {
    use crate::reason::Reason;
    use crate::tests::world::World;

    #[test]
    fn a_component_linked_to_its_own_subject_is_refused() {
        let mut world = World::with_builtin();
        // The same subject is admitted as a component and as a provider: each is fine by itself.
        world.admit_provider("cart").unwrap();
        world.link("cart", "default").unwrap();
        let ruling = world.start();
        assert_eq!(ruling.decision().refusal().map(|refusal| refusal.reason), Some(Reason::AnswersItself));
    }
}
