//! Curves as a picture (SVG), drawn for docs/performance.md.

use std::fmt::Write;

/// One curve: a value for 1, 2, 3, ... cores.
pub(crate) struct Curve<'a> {
    pub(crate) name: &'a str,
    pub(crate) colour: &'a str,
    pub(crate) values: &'a [u64],
}

/// Curves that belong together.
pub(crate) struct Panel<'a> {
    pub(crate) title: &'a str,
    pub(crate) curves: Vec<Curve<'a>>,
}

const WIDTH: u64 = 380;
const HEIGHT: u64 = 300;
/// Around the curves, for the numbers and the words.
const LEFT: u64 = 62;
const RIGHT: u64 = 14;
const TOP: u64 = 54;
const BOTTOM: u64 = 42;

/// The panels beside each other.
pub(crate) fn svg(panels: &[Panel<'_>], unit: &str) -> String {
    let width = WIDTH * panels.len() as u64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        let _ = writeln!(
            text,
            "<g transform=\"translate({} 0)\">",
            WIDTH * index as u64
        );
        draw(&mut text, panel, unit);
        text += "</g>\n";
    }
    text + "</svg>\n"
}

fn draw(text: &mut String, panel: &Panel<'_>, unit: &str) {
    let values = panel.curves.iter().flat_map(|curve| curve.values);
    let step = grid(values.copied().max().unwrap_or(1));
    let top = step * values_above(panel, step);
    let cores = panel.curves.iter().map(|curve| curve.values.len());
    let cores = cores.max().unwrap_or(1).max(2) as u64;
    let (across, down) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    // In tenths of a unit.
    let x = |core: u64| tenths(LEFT * 10 + across * 10 * (core - 1) / (cores - 1));
    let y = |value: u64| tenths((TOP + down) * 10 - down * 10 * value / top.max(1));
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"18\" font-size=\"13\">{}</text>",
        panel.title
    );
    for value in (0..=top).step_by(step as usize) {
        let at = y(value);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {at}H{}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{at}\" dy=\"4\" text-anchor=\"end\">{value}</text>",
            WIDTH - RIGHT,
            LEFT - 6,
        );
    }
    for core in (1..=cores).filter(|&core| core == 1 || core % 2 == 0) {
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{core}</text>",
            x(core),
            HEIGHT - BOTTOM + 16,
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">cores</text>\
         <text x=\"14\" y=\"{}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {2})\">{unit}</text>",
        LEFT + across / 2,
        HEIGHT - 8,
        TOP + down / 2,
    );
    for (index, curve) in panel.curves.iter().enumerate() {
        let points: Vec<String> = (1..)
            .zip(curve.values)
            .map(|(core, &value)| format!("{} {}", x(core), y(value)))
            .collect();
        let _ = writeln!(
            text,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{2}\" stroke-width=\"2\"/>\
             <text x=\"{1}\" y=\"36\" fill=\"{2}\">{3}</text>",
            points.join("L"),
            LEFT + 150 * index as u64,
            curve.colour,
            curve.name,
        );
    }
}

/// Grid lines from 0 that are at least as high as the highest value.
fn values_above(panel: &Panel<'_>, step: u64) -> u64 {
    let values = panel.curves.iter().flat_map(|curve| curve.values);
    values.copied().max().unwrap_or(1).div_ceil(step).max(1)
}

/// A round distance of grid lines for values up to this: some five of them.
fn grid(most: u64) -> u64 {
    let mut step = 1;
    loop {
        for factor in [1, 2, 5] {
            if step * factor * 6 >= most {
                return step * factor;
            }
        }
        step *= 10;
    }
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_round() {
        for (most, step) in [(1, 1), (6, 1), (7, 2), (13, 5), (100, 20), (31_000, 10_000)] {
            assert_eq!(grid(most), step, "{most}");
        }
    }

    #[test]
    fn curves_are_drawn_to_scale() {
        let values = [100, 200, 300];
        let curve = Curve {
            name: "default",
            colour: "#123456",
            values: &values,
        };
        let panel = Panel {
            title: "call",
            curves: vec![curve],
        };
        let text = svg(&[panel], "operations");
        // From the first core to the last one; 300 is the highest grid line.
        assert!(
            text.contains("M62.0 190.0L214.0 122.0L366.0 54.0"),
            "{text}"
        );
        // The words at the side turn around their own middle.
        assert!(text.contains("y=\"156\" text-anchor=\"middle\" transform=\"rotate(-90 14 156)\""));
        assert!(text.contains(">default<") && text.contains(">call<") && text.contains(">300<"));
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
    }
}
