package quota

import (
	"testing"
	"time"
	_ "time/tzdata" // the zones are the same wherever the tests run

	"pgregory.net/rapid"
)

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// odd are moments at whose like the calendar of a zone is odd, besides any others.
var odd = map[string][]string{
	"UTC":                 {"2028-12-31", "1970-01-01"},
	"Europe/Berlin":       {"2026-03-29", "2026-10-25", "2028-12-31", "2060-10-31"},
	"America/Sao_Paulo":   {"2018-11-04", "2018-02-18"}, // forward and back at midnight
	"Asia/Kolkata":        {"2028-12-31", "2026-01-01"},
	"Pacific/Apia":        {"2011-12-30"}, // a day that never was
	"America/Havana":      {"2026-03-08", "2026-11-01", "2028-12-31"},
	"Australia/Lord_Howe": {"2026-04-05", "2026-10-04", "2028-12-31"}, // by half an hour
	"Australia/Adelaide":  {"2039-12-31", "2028-12-31"},
	"Africa/Cairo":        {"2028-12-31", "2026-04-24", "2026-10-30"}, // forward and back at midnight
	"America/St_Johns":    {"2006-10-29", "2040-12-31"},               // back at a minute past midnight
}

// label is what a period's window is told apart by on the clocks: two moments beside each other whose labels
// differ are in two windows.
func label(p Period, t time.Time) (n int64) {
	y, m, d := t.Date()
	switch _, offset := t.Zone(); p {
	case Hour:
		return (int64(y*10000+int(m)*100+d)*100+int64(t.Hour()))*100_000 + int64(offset)
	case Month:
		return int64(y*100 + int(m))
	}
	return int64(y*10000 + int(m)*100 + d)
}

// slowWindow steps from moment to moment and looks at the clocks. Days and months never go back.
func slowWindow(p Period, t time.Time, loc *time.Location) (start, end time.Time) {
	step, reach := time.Minute, 3*24*time.Hour
	switch p {
	case Hour:
		reach = 3 * time.Hour
	case Month:
		step, reach = 15*time.Minute, 35*24*time.Hour
	}
	at := t.Add(-reach).Truncate(step)
	last := label(p, at.In(loc))
	for {
		at = at.Add(step)
		now := label(p, at.In(loc))
		if now == last || p != Hour && now < last {
			continue
		}
		last = now
		if at.After(t) {
			return start, at
		}
		start = at
	}
}

func TestWindowAgainstTwin(t *testing.T) {
	for name, dates := range odd {
		t.Run(name, func(t *testing.T) {
			loc := zoneOf(t, name)
			rapid.Check(t, func(t *rapid.T) {
				p := rapid.SampledFrom([]Period{Hour, Day, Day, Month}).Draw(t, "period")
				if name == "America/St_Johns" && p == Month {
					p = Day // the twin steps too wide for it
				}
				from := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "moment"), 0)
				if rapid.IntRange(0, 4).Draw(t, "odd") > 0 {
					from, _ = time.Parse(time.DateOnly, rapid.SampledFrom(dates).Draw(t, "date"))
					from = from.Add(time.Duration(rapid.IntRange(-40*3600, 40*3600).Draw(t, "s")) * time.Second)
				}
				start, end := p.Window(from, loc)
				wantStart, wantEnd := slowWindow(p, from, loc)
				if !start.Equal(wantStart) || !end.Equal(wantEnd) {
					t.Fatalf("the %v of %v is %v to %v, want %v to %v", p, from.In(loc), start, end,
						wantStart.In(loc), wantEnd.In(loc))
				}
				neighbours(t, p, from, loc)
			})
		})
	}
}

// neighbours looks at the window of t and the ones beside it.
func neighbours(t *rapid.T, p Period, from time.Time, loc *time.Location) {
	start, end := p.Window(from, loc)
	if from.Before(start) || !from.Before(end) {
		t.Fatalf("the %v of %v is %v to %v", p, from, start, end)
	}
	if next, _ := p.Window(end, loc); !next.Equal(end) {
		t.Fatalf("the %v after that of %v begins %v, want %v", p, from, next, end)
	}
	if _, before := p.Window(start.Add(-1), loc); !before.Equal(start) {
		t.Fatalf("the %v before that of %v ends %v, want %v", p, from, before, start)
	}
	if !p.fits(int64(end.Sub(start))) || int64(end.Sub(start)) > longest {
		t.Fatalf("the %v of %v lasts %v", p, from, end.Sub(start))
	}
	for other := range Month + 1 {
		if other != p && other.fits(int64(end.Sub(start))) {
			t.Fatalf("the %v of %v might be a %v", p, from, other)
		}
	}
}

func TestWindow(t *testing.T) {
	f := func(p Period, zone, at, start, end string) {
		t.Helper()
		loc := zoneOf(t, zone)
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		from, to := p.Window(moment, loc)
		if got := from.Format(time.RFC3339); got != start {
			t.Errorf("the %v of %s begins %s, want %s", p, at, got, start)
		}
		if got := to.Format(time.RFC3339); got != end {
			t.Errorf("the %v of %s ends %s, want %s", p, at, got, end)
		}
	}
	f(Hour, "UTC", "2026-02-03T04:05:06Z", "2026-02-03T04:00:00Z", "2026-02-03T05:00:00Z")
	f(Day, "UTC", "2026-02-03T00:00:00Z", "2026-02-03T00:00:00Z", "2026-02-04T00:00:00Z")
	f(Month, "UTC", "2026-02-03T04:05:06Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
	f(Month, "UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
	f(Hour, "UTC", "1969-12-31T23:59:59Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z")
	// 23 hours, and 25.
	f(Day, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00")
	f(Day, "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00")
	f(Hour, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00")
	f(Hour, "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00")
	// There is no midnight.
	f(Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00")
	// There are two of them, and the second one begins nothing.
	f(Day, "America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00")
	f(Day, "America/St_Johns", "2006-10-29T03:00:00Z", "2006-10-29T00:00:00-02:30", "2006-10-30T00:00:00-03:30")
	f(Hour, "America/St_Johns", "2006-10-29T02:30:30Z", "2006-10-29T00:00:00-02:30", "2006-10-28T23:01:00-03:30")
	f(Hour, "America/St_Johns", "2006-10-29T02:31:00Z", "2006-10-28T23:01:00-03:30", "2006-10-29T00:00:00-03:30")
	f(Day, "Pacific/Apia", "2011-12-30T09:00:00Z", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00")
	f(Day, "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00")
	f(Hour, "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-05T01:00:00+11:00", "2026-04-05T01:30:00+10:30")
	f(Hour, "Australia/Lord_Howe", "2026-04-04T15:15:00Z", "2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30")
	// A year's end in UTC is nothing to the hours of a zone, nor to its days.
	f(Hour, "Australia/Adelaide", "2039-12-31T23:50:00Z", "2040-01-01T10:00:00+10:30", "2040-01-01T11:00:00+10:30")
	f(Day, "Africa/Cairo", "2028-12-31T23:00:00Z", "2029-01-01T00:00:00+02:00", "2029-01-02T00:00:00+02:00")
	f(Hour, "Africa/Cairo", "2028-12-31T12:10:00Z", "2028-12-31T14:00:00+02:00", "2028-12-31T15:00:00+02:00")
}

func TestPeriodNames(t *testing.T) {
	for p := range Month + 1 {
		if got, err := ParsePeriod(p.String()); err != nil || got != p {
			t.Errorf("%v is read as %v, %v", p, got, err)
		}
	}
	if _, err := ParsePeriod("week"); err == nil {
		t.Error("a week is no period")
	}
	if got := Period(9).String(); got != "Period(9)" {
		t.Error(got)
	}
}
