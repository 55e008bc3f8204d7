package conventions_test

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	sourceFile   = regexp.MustCompile(`^[^ …]+\.(go|md|mod|sum|yml|sql|svg)$`)
	markdownLink = regexp.MustCompile(`\]\(([^)\s#]*)#?([^)\s]*)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestFilesNamedInTheDocumentation looks up each file, folder and heading that
// a page names or links to. thing.go is the example in contributing.md.
func TestFilesNamedInTheDocumentation(t *testing.T) {
	paths, texts, found := tree(t), pages(t), 0
	for page, text := range texts {
		folder := "" // the one mentioned last
		for _, span := range codeSpan.FindAllStringSubmatch(text, -1) {
			name := strings.TrimSuffix(span[1], "/")
			top, _, below := strings.Cut(span[1], "/")
			rooted := below && slices.Contains(paths, top+"/")
			if !rooted && !sourceFile.MatchString(name) || path.Base(name) == "thing.go" {
				continue
			}
			found++
			switch {
			case slices.Contains(paths, name+"/"):
				folder = name
			case slices.Contains(paths, name):
				if rooted {
					folder = path.Dir(name)
				}
			case rooted || !slices.ContainsFunc(paths, func(p string) bool { return isNamed(p, folder, name) }):
				t.Errorf("%s: there is no `%s` (in %q)", page, name, folder)
			}
		}
		for _, link := range markdownLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			found++
			target := path.Join(path.Dir(page), link[1])
			if link[1] == "" {
				target = page
			}
			if !slices.Contains(paths, target) && !slices.Contains(paths, target+"/") || link[2] != "" && !slices.Contains(anchors(texts[target]), link[2]) {
				t.Errorf("%s: the link %s%s leads nowhere", page, link[1], strings.TrimSuffix("#"+link[2], "#"))
			}
		}
	}
	if found < 100 {
		t.Errorf("found %d names of files in the documentation", found)
	}
}

// isNamed reports whether name, in a page that mentioned folder before, means
// the file at p. name has no folder of its own, and may be a pattern.
func isNamed(p, folder, name string) bool {
	if strings.Contains(name, "*") || folder == "" {
		match, _ := path.Match(name, path.Base(p))
		return match
	}
	return p == path.Join(folder, name)
}

// anchors returns the link anchors of a page's headings.
func anchors(text string) []string {
	var found []string
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		found = append(found, strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return found
}
