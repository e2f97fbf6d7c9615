package session

import (
	"strings"
	"time"
)

// writtenDay is the day of a Date field (RFC 5322, 3.3; 4.3) as it is written,
// whatever its zone; zero where there is none. The rest of the field may be
// anything: what people's programs write often is.
func writtenDay(field string) time.Time {
	words := strings.FieldsFunc(field, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == '-' })
	for i := 0; i+2 < len(words); i++ {
		month, ok := months[strings.ToLower(first(words[i+1], 3))]
		day, year := digits(words[i], 2), digits(words[i+2], 4)
		if !ok || day < 1 || year < 0 {
			continue
		}
		switch n := len(words[i+2]); {
		case n == 2 && year < 50: // RFC 5322, 4.3: obs-year
			year += 2000
		case n <= 3:
			year += 1900
		}
		t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		if t.Day() != day {
			return time.Time{}
		}
		return t
	}
	return time.Time{}
}

var months = map[string]time.Month{
	"jan": time.January, "feb": time.February, "mar": time.March, "apr": time.April,
	"may": time.May, "jun": time.June, "jul": time.July, "aug": time.August,
	"sep": time.September, "oct": time.October, "nov": time.November, "dec": time.December,
}

func first(s string, n int) string { return s[:min(n, len(s))] }

// digits reads a number of at most most digits, -1 where it is none.
func digits(s string, most int) int {
	if s == "" || len(s) > most {
		return -1
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}
