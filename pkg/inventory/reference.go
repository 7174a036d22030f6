package inventory

import (
	"fmt"
	"strings"
)

// Reference is the language reference in Markdown, printed from the grammar itself.
func Reference() string {
	var b strings.Builder
	b.WriteString("# The inventory language\n\nEvery labelled block may have `for_each` (a list, set or map) and `name`; inside, `each.key`, `each.value` and `each.index`. ")
	b.WriteString("Inside a place, its type is a name for it: `rack.name`, `rack.path`, and with for_each `rack.key`, `rack.value`, `rack.index`. ")
	b.WriteString("Elsewhere: `var.NAME`, `local.NAME`, `network.NAME.ATTRIBUTE`, `cloud.ATTRIBUTE`. ● marks what must be given.\n\nFunctions: ")
	b.WriteString("`" + strings.Join(keysOf((&loader{}).functions()), "` `") + "`.\n")
	seen := map[string]bool{}
	reference(&b, rootSpec, "", seen)
	return b.String()
}

func reference(b *strings.Builder, s *blockSpec, path string, seen map[string]bool) {
	for _, name := range keysOf(s.blocks) {
		c := s.blocks[name]
		full := strings.TrimPrefix(path+" › "+name, " › ")
		label := ""
		if c.label {
			label = ` "NAME"`
		}
		fmt.Fprintf(b, "\n## %s%s\n\n%s\n", full, label, c.doc)
		if len(c.attrs) > 0 {
			b.WriteString("\n| attribute | type | |\n|---|---|---|\n")
		}
		for _, a := range keysOf(c.attrs) {
			spec := c.attrs[a]
			mark := ""
			if spec.required {
				mark = " ●"
			}
			fmt.Fprintf(b, "| `%s`%s | %s | %s |\n", a, mark, spec.kind, strings.ReplaceAll(spec.doc, "|", `\|`))
		}
		key := name + c.doc
		if !seen[key] {
			seen[key] = true
			reference(b, c, full, seen)
		}
	}
}
