//! Which of two runtime versions is the newer one.

use std::cmp::Ordering;

/// Compares piece by piece: runs of digits by value, everything else by its bytes. So `b9999` is
/// older than `b11434`, and `1.9` than `1.10`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (piece_a, piece_b);
        (piece_a, a) = piece(a);
        (piece_b, b) = piece(b);
        if piece_a.is_empty() && piece_b.is_empty() {
            return Ordering::Equal;
        }
        let order = if is_number(piece_a) && is_number(piece_b) {
            let (a, b) = (significant(piece_a), significant(piece_b));
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        } else {
            piece_a.cmp(piece_b)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn piece(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.first().is_some_and(u8::is_ascii_digit);
    let end = text.iter().position(|b| b.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn is_number(piece: &[u8]) -> bool {
    piece.first().is_some_and(u8::is_ascii_digit)
}

fn significant(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&b| b == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::compare;

    #[test]
    fn numbers_count_by_value() {
        for (older, newer) in
            [("b9999", "b11434"), ("1.9", "1.10"), ("1", "1.0"), ("", "1"), ("1.2-rc1", "1.2-rc2")]
        {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater, "{older} {newer}");
        }
        assert_eq!(compare("b007", "b7"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[a-c0-9.]{0,8}", b in "[a-c0-9.]{0,8}", c in "[a-c0-9.]{0,8}") {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
