//! Draws a [`Plot`] as SVG. Colours are named by variables of the page's style sheet, which has them for light and for dark.

use plotters::{
    coord::types::RangedCoordf64,
    prelude::{
        Cartesian2d, ChartBuilder, ChartContext, Circle, DashedLineSeries, IntoDrawingArea, IntoFont, LineSeries,
        PathElement, RGBColor, Rectangle, SVGBackend,
    },
    style::{Color, ShapeStyle},
};

use super::plot::{Band, Dots, Ink, Line, Plot, Scale, Stroke};

/// Units of a picture's width; a page shows one at about as many pixels, so that its letters are as large as they are here.
pub const WIDTH: u32 = 380;

/// How large letters are.
const LETTERS: f64 = 12.0;

/// What stands for a variable of the style sheet until the picture is drawn.
const TEXT: RGBColor = RGBColor(1, 0, 0);
const GRID: RGBColor = RGBColor(1, 0, 1);
const SHADE: RGBColor = RGBColor(1, 0, 2);
const VARIABLES: [(RGBColor, &str); 7] = [
    (TEXT, "text"),
    (GRID, "grid"),
    (SHADE, "shade"),
    (RGBColor(2, 0, 1), "first"),
    (RGBColor(2, 0, 2), "second"),
    (RGBColor(2, 0, 3), "third"),
    (RGBColor(2, 0, 4), "faint"),
];

/// The name of an ink in the style sheet.
pub fn variable(ink: Ink) -> &'static str {
    match ink {
        Ink::First => "first",
        Ink::Second => "second",
        Ink::Third => "third",
        Ink::Faint => "faint",
    }
}

fn colour(ink: Ink) -> RGBColor {
    match ink {
        Ink::First => RGBColor(2, 0, 1),
        Ink::Second => RGBColor(2, 0, 2),
        Ink::Third => RGBColor(2, 0, 3),
        Ink::Faint => RGBColor(2, 0, 4),
    }
}

/// The SVG of a plot of some height; `None` where it cannot be drawn, which its table replaces.
pub fn svg(plot: &Plot, height: u32) -> Option<String> {
    if !is_drawable(plot) {
        return None;
    }
    let mut text = String::new();
    draw(plot, &mut text, height).ok()?;
    for (stand_in, variable) in VARIABLES {
        let RGBColor(red, green, blue) = stand_in;
        text = text.replace(&format!("\"#{red:02X}{green:02X}{blue:02X}\""), &format!("\"var(--{variable})\""));
    }
    // As wide as its column, whatever that is.
    let size = format!("width=\"{WIDTH}\" height=\"{height}\" ");
    Some(text.replacen(&size, "", 1).replacen("<svg ", "<svg aria-hidden=\"true\" focusable=\"false\" ", 1))
}

/// Whether the library can place it: a results file may hold any number, and it takes no infinite axis.
fn is_drawable(plot: &Plot) -> bool {
    /// Beyond anything that was ever measured.
    const PLACE_MOST: f64 = 1e12;
    let is_place = |place: f64| place.is_finite() && place.abs() < PLACE_MOST;
    let ends = [plot.x.ends(), plot.y.ends()];
    let has_length = ends.iter().all(|(from, to)| is_place(*from) && is_place(*to) && to - from > 1e-9);
    let points = plot.lines.iter().flat_map(|line| &line.points);
    let of_lines = points.flat_map(|(x, y)| [Some(*x), *y]).flatten();
    let of_dots = plot.dots.iter().flat_map(|dots| &dots.points).flat_map(|(x, y)| [*x, *y]);
    let of_bands = plot.bands.iter().flat_map(|band| [band.from, band.to]);
    has_length && of_lines.chain(of_dots).chain(of_bands).all(is_place)
}

type Failure = Box<dyn std::error::Error>;

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw(plot: &Plot, text: &mut String, height: u32) -> Result<(), Failure> {
    let area = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    let ((left, right), (low, high)) = (plot.x.ends(), plot.y.ends());
    let letters = ("sans-serif", LETTERS).into_font().color(&TEXT);
    let names = match &plot.y.scale {
        Scale::Rows(names) => names.iter().map(String::len).max().unwrap_or_default(),
        Scale::Linear | Scale::Log | Scale::Percentile => 5,
    };
    let labels_width = u32::try_from(names).unwrap_or(0) * 7 + if plot.y.title.is_empty() { 6 } else { 24 };
    let mut chart = ChartBuilder::on(&area)
        .margin_top(8)
        .margin_right(16)
        // The letters of a title that stands upright are wider than the library takes them for.
        .margin_left(if plot.y.title.is_empty() { 0 } else { 12 })
        .x_label_area_size(34)
        .y_label_area_size(labels_width.min(WIDTH / 2))
        .build_cartesian_2d(left..right, low..high)?;
    let rows = match &plot.y.scale {
        Scale::Rows(names) => 2 * names.len() + 1,
        Scale::Log => whole(high - low) + 1,
        Scale::Linear | Scale::Percentile => 5,
    };
    let columns = match &plot.x.scale {
        Scale::Log | Scale::Percentile => whole(right - left) + 1,
        Scale::Linear | Scale::Rows(_) => 6,
    };
    chart
        .configure_mesh()
        .x_labels(columns)
        .y_labels(rows)
        .x_label_formatter(&|place| plot.x.label(*place))
        .y_label_formatter(&|place| plot.y.label(*place))
        .x_desc(plot.x.title.as_str())
        .y_desc(plot.y.title.as_str())
        .label_style(letters.clone())
        .axis_desc_style(letters)
        .axis_style(GRID)
        .bold_line_style(GRID)
        .light_line_style(GRID.mix(0.0))
        .draw()?;
    let band = |band: &Band| {
        let (from, to) = (plot.x.place(band.from).max(left), plot.x.place(band.to).min(right));
        let (bottom, top) = band.row.map_or((low, high), |row| {
            let middle = plot.y.place(row as f64);
            (middle - 0.3, middle + 0.3)
        });
        Rectangle::new([(from, bottom), (to, top)], SHADE.filled())
    };
    chart.draw_series(plot.bands.iter().map(band))?;
    for line in &plot.lines {
        draw_line(&mut chart, plot, line)?;
    }
    for Dots { ink, points, .. } in &plot.dots {
        let place = |(x, y): &(f64, f64)| (plot.x.place(*x).clamp(left, right), plot.y.place(*y).clamp(low, high));
        let style = ShapeStyle::from(&colour(*ink).mix(0.7)).filled();
        chart.draw_series(points.iter().map(|point| Circle::new(place(point), 3, style)))?;
    }
    if let Some(value) = plot.reference {
        let place = plot.x.place(value);
        chart.draw_series([PathElement::new([(place, low), (place, high)], TEXT)])?;
    }
    area.present()?;
    Ok(())
}

fn draw_line(chart: &mut Chart<'_, '_>, plot: &Plot, line: &Line) -> Result<(), Failure> {
    let style = ShapeStyle::from(&colour(line.ink)).stroke_width(if line.ink == Ink::Faint { 1 } else { 2 });
    for points in stretches(plot, line) {
        match line.stroke {
            Stroke::Solid if points.len() == 1 => {
                chart.draw_series(points.iter().map(|point| Circle::new(*point, 2, style.filled())))?;
            }
            Stroke::Solid => {
                chart.draw_series(LineSeries::new(points, style))?;
            }
            Stroke::Dashed => {
                chart.draw_series(DashedLineSeries::new(points, 5, 4, style))?;
            }
        }
    }
    Ok(())
}

/// The stretches of a line between what has no value, as places.
fn stretches(plot: &Plot, line: &Line) -> Vec<Vec<(f64, f64)>> {
    let mut stretches = vec![Vec::new()];
    for (x, y) in &line.points {
        match (y, stretches.last_mut()) {
            (Some(y), Some(stretch)) => stretch.push((plot.x.place(*x), plot.y.place(*y))),
            (_, _) => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

fn whole(number: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of marks along an axis")]
    let whole = number.round().clamp(0.0, 50.0) as usize;
    whole
}
