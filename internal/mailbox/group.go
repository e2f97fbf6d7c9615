package mailbox

import (
	"iter"
	"strings"
)

// groupBy splits a list by key, keeping the order of first occurrence.
func groupBy[T any](list []T, key func(T) string) iter.Seq2[string, []T] {
	groups := map[string][]T{}
	var order []string
	for _, x := range list {
		k := key(x)
		if _, ok := groups[k]; !ok {
			order = append(order, k)
		}
		groups[k] = append(groups[k], x)
	}
	return func(yield func(string, []T) bool) {
		for _, k := range order {
			if !yield(k, groups[k]) {
				return
			}
		}
	}
}

// values gives the found ones in the order of keys, each once.
func values[T any](keys []string, found map[string]T) []T {
	seen := map[string]bool{}
	var out []T
	for _, k := range keys {
		if v, ok := found[k]; ok && !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out
}

func joinIDs(ids []string) string { return strings.Join(ids, " ") }
