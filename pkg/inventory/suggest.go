package inventory

import (
	"fmt"
	"sort"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest finds the candidate that was probably meant, or "".
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 3
	if len(word) <= 3 {
		bestDistance = 2
	}
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	for _, c := range sorted {
		if d := levenshtein.Distance(strings.ToLower(word), strings.ToLower(c), nil); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// didYouMean is a remedy for an unknown word: the nearest candidate, else the list of them when it is short.
func didYouMean(word string, candidates []string, otherwise string) string {
	if c := nearest(word, candidates); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	if len(candidates) > 0 && len(candidates) <= 20 {
		sorted := append([]string(nil), candidates...)
		sort.Strings(sorted)
		return "use one of: " + strings.Join(sorted, ", ")
	}
	return otherwise
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
