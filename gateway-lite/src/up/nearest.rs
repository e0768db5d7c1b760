//! What somebody may have meant.

/// `; did you mean ...?` for serde's complaint about a field that it does not know, if one that it
/// does know is near.
pub(super) fn hint(error: &str) -> String {
    let Some((_, behind)) = error.split_once("unknown field `") else { return String::new() };
    let Some((unknown, known)) = behind.split_once("`, expected ") else { return String::new() };
    let known = known.trim_start_matches("one of ").split([',', ' ', '`']);
    let near =
        known.filter(|known| !known.is_empty()).map(|known| (distance(unknown, known), known));
    match near.min() {
        Some((steps, known)) if steps <= 3.min(unknown.len() / 2) => {
            format!("; did you mean `{known}`?")
        }
        _ => String::new(),
    }
}

/// How many characters have to be added, taken away or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted() {
        for (a, b, steps) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (steps, steps));
        }
    }

    #[test]
    fn only_what_is_near_is_meant() {
        let error =
            |name: &str| format!("unknown field `{name}`, expected one of `labels`, `image`");
        assert_eq!(hint(&error("lables")), "; did you mean `labels`?");
        assert_eq!(hint(&error("volumes")), "");
        assert_eq!(hint("no such file"), "");
    }
}
