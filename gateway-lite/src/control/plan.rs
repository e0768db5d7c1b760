//! What to do next for one function, given what there is: pure, and asked again after every step.

/// What an instance is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// Does not run, and need not.
    Parked,
    /// Is on its way there: takes no calls, finishes those it has.
    Parking,
    /// Was ended by somebody else, and it is time to start it again.
    Ended,
    /// Does not run; somebody takes care of that already.
    Failing,
    /// Runs, and does not take calls yet.
    Starting,
    /// Takes calls.
    Ready,
}

impl Condition {
    /// Whether it counts as one of those that are wanted.
    fn is_up(self) -> bool {
        self >= Self::Ended
    }
}

/// One instance. Those that are being removed are none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The provider's name for it.
    pub(super) id: String,
    /// Its version.
    pub(super) revision: u64,
    /// What it is good for.
    pub(super) condition: Condition,
}

/// All there is to know about one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The version that serves.
    pub(super) serving: u64,
    /// How many of it are wanted.
    pub(super) desired: u32,
    /// The version that is to take its place, and how many of it have to be ready then. At least
    /// one, even if none is wanted: a version that was never ready replaces nothing.
    pub(super) goal: Option<(u64, u32)>,
    /// The instances.
    pub(super) instances: Vec<Seen>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a parked instance of this version.
    Create(u64),
    /// Start a parked or ended instance.
    Start(String),
    /// Let the goal serve instead: in one swap.
    Switch,
    /// Take it out of the endpoints, let it finish its calls, park it.
    Park(String),
    /// The same, and remove it.
    Retire(String),
}

/// The steps that can be taken now, at once and in any order. None when all is as it should be, or
/// somebody else has to act first: a replica becoming ready, say.
pub(super) fn plan(view: &View) -> Vec<Step> {
    match view.goal {
        Some((goal, needed)) if goal != view.serving => replace(view, goal, needed.max(1)),
        _ => keep(view),
    }
}

/// Towards another version: the one that serves is left alone until the other is ready.
fn replace(view: &View, goal: u64, needed: u32) -> Vec<Step> {
    let new = of(view, goal);
    let ready = new.iter().filter(|seen| seen.condition == Condition::Ready).count();
    if ready >= needed as usize {
        return vec![Step::Switch];
    }
    let mut steps = more(&new, goal, needed);
    steps.extend(revived(&of(view, view.serving)));
    steps.extend(outdated(view, &[view.serving, goal]));
    steps
}

/// One version only, as many as wanted; with none wanted, one parked as the record that the
/// function exists.
fn keep(view: &View) -> Vec<Step> {
    let mine = of(view, view.serving);
    let mut steps: Vec<_> = outdated(view, &[view.serving]).collect();
    let desired = view.desired as usize;
    let (mut up, down): (Vec<&Seen>, Vec<&Seen>) =
        mine.iter().copied().partition(|seen| seen.condition.is_up());
    if up.len() < desired {
        steps.extend(more(&mine, view.serving, view.desired));
        return steps;
    }
    if mine.is_empty() {
        steps.push(Step::Create(view.serving));
        return steps;
    }
    // The most useful ones stay; among equals the eldest name, so that it is always the same.
    up.sort_by(|a, b| b.condition.cmp(&a.condition).then_with(|| a.id.cmp(&b.id)));
    let (kept, excess) = up.split_at(desired);
    steps.extend(revived(kept));
    let becomes_record = usize::from(desired == 0 && down.is_empty()).min(excess.len());
    let (record, excess) = excess.split_at(becomes_record);
    steps.extend(record.iter().map(|seen| Step::Park(seen.id.clone())));
    steps.extend(excess.iter().map(|seen| retire(seen)));
    // One that is still being parked waits its turn.
    let spare = down.iter().skip(usize::from(desired == 0));
    steps.extend(spare.filter(|seen| seen.condition == Condition::Parked).map(|seen| retire(seen)));
    steps
}

fn of(view: &View, revision: u64) -> Vec<&Seen> {
    view.instances.iter().filter(|seen| seen.revision == revision).collect()
}

/// Those of other versions go; one that is still being parked waits its turn, for its calls.
fn outdated(view: &View, wanted: &[u64]) -> impl Iterator<Item = Step> {
    let others = view.instances.iter().filter(|seen| !wanted.contains(&seen.revision));
    others.filter(|seen| seen.condition != Condition::Parking).map(retire)
}

fn retire(seen: &Seen) -> Step {
    Step::Retire(seen.id.clone())
}

/// So many running ones: those that are there first, then new ones.
fn more(mine: &[&Seen], revision: u64, wanted: u32) -> Vec<Step> {
    let up = mine.iter().filter(|seen| seen.condition.is_up()).count();
    let missing = (wanted as usize).saturating_sub(up);
    let parked = mine.iter().filter(|seen| seen.condition == Condition::Parked).take(missing);
    let parked: Vec<_> = parked.map(|seen| Step::Start(seen.id.clone())).collect();
    let missing = missing - parked.len();
    let mut steps = revived(mine);
    steps.extend(parked);
    steps.extend(std::iter::repeat_n(Step::Create(revision), missing));
    steps
}

/// What somebody else ended is started again.
fn revived(seen: &[&Seen]) -> Vec<Step> {
    let ended = seen.iter().filter(|seen| seen.condition == Condition::Ended);
    ended.map(|seen| Step::Start(seen.id.clone())).collect()
}

#[cfg(test)]
mod tests;
