package record

import (
	"strings"
	"unicode/utf8"
)

// text makes a string fit for protobuf, which refuses what is not UTF-8:
// ugly mail must not stop a sync, so each bad byte becomes U+FFFD.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func texts(list []string) []string {
	for i, s := range list {
		if utf8.ValidString(s) {
			continue
		}
		out := make([]string, len(list))
		copy(out, list[:i])
		for j := i; j < len(list); j++ {
			out[j] = text(list[j])
		}
		return out
	}
	return list
}
