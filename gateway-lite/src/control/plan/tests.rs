use proptest::prelude::*;

use super::{Condition::*, *};

fn seen(id: &str, revision: u64, condition: Condition) -> Seen {
    Seen { id: id.to_owned(), revision, condition }
}

fn view(desired: u32, instances: &[(&str, u64, Condition)]) -> View {
    let instances = instances.iter().map(|(id, revision, state)| seen(id, *revision, *state));
    View { serving: 1, desired, goal: None, instances: instances.collect() }
}

fn start(id: &str) -> Step {
    Step::Start(id.to_owned())
}

fn retire_id(id: &str) -> Step {
    Step::Retire(id.to_owned())
}

#[test]
fn parked_ones_are_started_before_new_ones_are_made() {
    let steps = plan(&view(3, &[("a", 1, Ready), ("b", 1, Parked)]));
    assert_eq!(steps, [start("b"), Step::Create(1)]);
}

#[test]
fn none_wanted_leaves_the_best_one_parked() {
    let all = [("a", 1, Failing), ("b", 1, Ready), ("c", 1, Ready)];
    let steps = plan(&view(0, &all));
    assert_eq!(steps, [Step::Park("b".to_owned()), retire_id("c"), retire_id("a")]);
    assert_eq!(plan(&view(0, &[("a", 1, Parking)])), []);
    assert_eq!(plan(&view(0, &[("a", 1, Parked), ("b", 1, Ready)])), [retire_id("b")]);
    assert_eq!(plan(&view(0, &[("a", 1, Parked), ("b", 1, Parked)])), [retire_id("b")]);
    assert_eq!(plan(&view(0, &[])), [Step::Create(1)]);
}

#[test]
fn one_that_is_being_parked_is_no_help_and_no_hindrance() {
    assert_eq!(plan(&view(1, &[("a", 1, Parking)])), [Step::Create(1)]);
    assert_eq!(plan(&view(1, &[("a", 1, Parking), ("b", 1, Starting)])), []);
    let steps = plan(&view(1, &[("a", 1, Parked), ("b", 1, Starting)]));
    assert_eq!(steps, [retire_id("a")]);
}

#[test]
fn one_of_another_version_that_is_being_parked_finishes_its_calls() {
    let mut view = view(1, &[("a", 3, Parking), ("b", 1, Ready)]);
    assert_eq!(plan(&view), []);
    view.goal = Some((2, 1));
    assert_eq!(plan(&view), [Step::Create(2)]);
    (view.goal, view.instances[0].condition) = (None, Parked);
    assert_eq!(plan(&view), [retire_id("a")]);
}

#[test]
fn worst_ones_go_first() {
    let all = [("a", 1, Starting), ("b", 1, Ended), ("c", 1, Ready), ("d", 1, Failing)];
    assert_eq!(plan(&view(2, &all)), [retire_id("d"), retire_id("b")]);
}

#[test]
fn what_somebody_else_ended_runs_again() {
    assert_eq!(plan(&view(2, &[("a", 1, Ended), ("b", 1, Failing)])), [start("a")]);
}

#[test]
fn update_makes_then_starts_then_switches_then_removes() {
    let mut view = view(2, &[("a", 1, Ready), ("b", 1, Ready)]);
    view.goal = Some((2, 2));
    assert_eq!(plan(&view), [Step::Create(2), Step::Create(2)]);
    view.instances.extend([seen("c", 2, Parked), seen("d", 2, Parked)]);
    assert_eq!(plan(&view), [start("c"), start("d")]);
    view.instances[2].condition = Ready;
    view.instances[3].condition = Starting;
    assert_eq!(plan(&view), []);
    view.instances[3].condition = Ready;
    assert_eq!(plan(&view), [Step::Switch]);
    (view.serving, view.goal) = (2, None);
    assert_eq!(plan(&view), [retire_id("a"), retire_id("b")]);
}

#[test]
fn version_that_was_given_up_is_removed() {
    let view = view(1, &[("a", 1, Ready), ("b", 2, Failing), ("c", 2, Parked)]);
    assert_eq!(plan(&view), [retire_id("b"), retire_id("c")]);
}

#[test]
fn even_where_none_is_wanted_a_version_has_to_prove_itself() {
    let mut view = view(0, &[("a", 1, Parked)]);
    view.goal = Some((2, 0));
    assert_eq!(plan(&view), [Step::Create(2)]);
    view.instances.push(seen("b", 2, Ready));
    assert_eq!(plan(&view), [Step::Switch]);
}

fn condition() -> impl Strategy<Value = Condition> {
    prop::sample::select(vec![Parked, Parking, Ended, Failing, Starting, Ready])
}

fn any_view() -> impl Strategy<Value = View> {
    let instances = prop::collection::vec((1_u64..4, condition()), 0..8);
    let goal = prop::option::of(0_u32..4);
    (0_u32..5, goal, instances).prop_map(|(desired, needed, all)| View {
        serving: 2,
        desired,
        goal: needed.map(|needed| (3, needed)),
        instances: (0..)
            .zip(all)
            .map(|(n, (revision, condition))| seen(&format!("i{n}"), revision, condition))
            .collect(),
    })
}

/// Does a step as a back end that never fails would.
fn take(view: &mut View, step: &Step, made: &mut u32) {
    let set = |view: &mut View, id: &str, to| {
        let all = view.instances.iter_mut();
        all.filter(|seen| seen.id == id).for_each(|seen| seen.condition = to);
    };
    match step {
        Step::Create(revision) => {
            *made += 1;
            view.instances.push(seen(&format!("m{made}"), *revision, Parked));
        }
        Step::Start(id) => set(view, id, Starting),
        Step::Park(id) => set(view, id, Parking),
        Step::Retire(id) => view.instances.retain(|seen| seen.id != *id),
        Step::Switch => {
            let (goal, _) = view.goal.take().unwrap();
            view.serving = goal;
        }
    }
}

proptest! {
    #[test]
    fn serving_version_is_left_alone_until_the_other_takes_over(view in any_view()) {
        prop_assume!(view.goal.is_some());
        let mine = of(&view, view.serving);
        let is_mine = |id: &String| mine.iter().any(|seen| seen.id == *id);
        for step in plan(&view) {
            prop_assert!(!matches!(&step, Step::Retire(id) | Step::Park(id) if is_mine(id)), "{step:?}");
        }
    }

    #[test]
    fn switch_comes_alone_and_only_to_what_is_ready(view in any_view()) {
        let steps = plan(&view);
        if steps.contains(&Step::Switch) {
            let (goal, needed) = view.goal.unwrap();
            let ready = of(&view, goal).iter().filter(|seen| seen.condition == Ready).count();
            prop_assert!(steps.len() == 1 && ready >= needed.max(1) as usize);
        }
    }

    #[test]
    fn no_ready_one_goes_while_a_worse_one_stays(view in any_view()) {
        prop_assume!(view.goal.is_none() && view.desired > 0);
        let gone: Vec<_> = plan(&view).into_iter().filter_map(|step| match step {
            Step::Retire(id) | Step::Park(id) => Some(id),
            _ => None,
        }).collect();
        let ready = of(&view, view.serving).into_iter().filter(|seen| seen.condition == Ready);
        let (gone, kept): (Vec<_>, Vec<_>) = ready.partition(|seen| gone.contains(&seen.id));
        prop_assert!(gone.is_empty() || kept.len() == view.desired as usize);
    }

    /// Whatever there was: steps are taken in any order, replicas become ready at some time.
    #[test]
    fn everything_ends_as_it_should(start in any_view(), picks in prop::collection::vec(any::<prop::sample::Index>(), 200)) {
        let mut view = start;
        let mut made = 0;
        let mut picks = picks.into_iter();
        loop {
            let steps = plan(&view);
            let waiting = view.instances.iter().position(|seen| matches!(seen.condition, Starting | Failing | Parking));
            if let (Some(at), true) = (waiting, steps.is_empty()) {
                let condition = &mut view.instances[at].condition;
                *condition = if *condition == Parking { Parked } else { Ready };
            } else if steps.is_empty() {
                break;
            } else {
                let pick = picks.next();
                prop_assert!(pick.is_some(), "no end: {view:?}");
                take(&mut view, pick.unwrap().get(&steps), &mut made);
            }
        }
        prop_assert!(view.goal.is_none());
        let conditions: Vec<_> = view.instances.iter().map(|seen| seen.condition).collect();
        let expected = if view.desired == 0 { vec![Parked] } else { vec![Ready; view.desired as usize] };
        prop_assert_eq!(conditions, expected);
        prop_assert!(view.instances.iter().all(|seen| seen.revision == view.serving));
    }
}
