package traffic

import (
	"fmt"
	"slices"
)

// Body is a way to spoil the body of an answer. The request is executed first.
type Body string

// Ways to spoil the body of an answer. The later ones change a page of a
// collection and leave other answers as they are.
const (
	BodyGarbage   Body = "garbage"   // no JSON, but said to be
	BodyTruncated Body = "truncated" // its first half, as if that were all
	BodyHTML      Body = "html"      // a page for people, with 200
	BodyEmpty     Body = "empty"     // {}
	BodyEndless   Body = "endless"   // JSON that goes on for 4 GiB
	BodyGzipBomb  Body = "gzipbomb"  // a few megabytes that unpack to 8 GiB
	BodyHeaders   Body = "headers"   // 4 MiB of header lines in front

	BodyLoop           Body = "loop"     // the page's next link leads to itself
	BodyCycle          Body = "cycle"    // the next links lead in a circle of three
	BodyForeign        Body = "foreign"  // the next link leads to another host
	BodyLongID         Body = "longid"   // ids of 1 MiB
	BodyDates          Body = "dates"    // dates that are none
	BodyDoubled        Body = "doubled"  // every entry twice
	BodyNegative       Body = "negative" // all numbers far below zero
	BodyCycleOfFolders Body = "folders"  // folders that are each other's parents
)

// Bodies lists all ways.
func Bodies() []Body {
	return []Body{
		BodyGarbage, BodyTruncated, BodyHTML, BodyEmpty, BodyEndless, BodyGzipBomb, BodyHeaders,
		BodyLoop, BodyCycle, BodyForeign, BodyLongID, BodyDates, BodyDoubled, BodyNegative, BodyCycleOfFolders,
	}
}

func (b Body) validate() error {
	if b != "" && !slices.Contains(Bodies(), b) {
		return fmt.Errorf("body %q is not one of %v", b, Bodies())
	}
	return nil
}

// Document reports whether the way changes an answer's document, rather than
// the bytes on the wire.
func (b Body) Document() bool {
	return b == BodyEmpty || slices.Index(Bodies(), b) >= slices.Index(Bodies(), BodyLoop)
}
