package conventions_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	rule       = regexp.MustCompile(`(?m)^([a-z0-9-]+):([^#\n]*)(## .*)?\n((?:\t.*\n)*)`)
	makeCall   = regexp.MustCompile(`\$\(MAKE\)(.*)`)
	aptPackage = regexp.MustCompile(`apt-get (?:install|download)([^;&|}\n]*)`)
	makeStep   = regexp.MustCompile("(?m)(?:`|^    |&& )(?:[A-Z]+=\\w+ )?make ([a-z0-9-]+)")
	row        = regexp.MustCompile("(?m)^\\| (?:`make` or )?`make ([a-z0-9-]+)` \\| (.*) \\|$")
	assignment = regexp.MustCompile("`([A-Z_]+)=([0-9]+)`")
	whereIsIt  = regexp.MustCompile("`([A-Za-z]+)`\\s+in\\s+`([a-z_/]+\\.go)`")
)

func contributing(t *testing.T) (page, makefile string) {
	return read(t, filepath.Join(root, "docs/contributing.md")), read(t, filepath.Join(root, "Makefile"))
}

// TestContinuousIntegration compares what contributing.md says about .ci/run
// with .ci/run.
func TestContinuousIntegration(t *testing.T) {
	page, _ := contributing(t)
	_, sentence, _ := strings.Cut(page, "`.ci/run` runs")
	sentence, _, _ = strings.Cut(sentence, ":")
	var made []string
	for line := range strings.Lines(read(t, filepath.Join(root, ".ci/run"))) {
		if target, ok := strings.CutPrefix(strings.TrimSpace(line), "make "); ok {
			made = append(made, target)
		}
	}
	if said := targets(sentence); len(made) == 0 || !slices.Equal(said, made) {
		t.Errorf("docs/contributing.md: .ci/run makes %q; it makes %q", said, made)
	}
}

// TestMakeTargets compares the table of targets with the Makefile. Each target
// of make help must be in the table, with the targets that it makes in turn. No
// page may name another one.
func TestMakeTargets(t *testing.T) {
	page, makefile := contributing(t)
	steps := stepsOf(makefile)
	rows := map[string]string{}
	for _, r := range row.FindAllStringSubmatch(page, -1) {
		rows[r[1]] = r[2]
	}
	for target, made := range steps {
		if does, ok := rows[target]; !ok {
			t.Errorf("docs/contributing.md: no row for make %s", target)
		} else if said := targets(does); !slices.Equal(said, made) {
			t.Errorf("docs/contributing.md: make %s makes %q; it makes %q", target, said, made)
		}
	}
	for name, text := range pages(t) {
		for _, target := range targets(text) {
			if _, ok := steps[target]; !ok {
				t.Errorf("%s: make help has no %s", name, target)
			}
		}
	}
}

// TestNeedsOfMake compares the variables, values and packages on the page with
// the Makefile.
func TestNeedsOfMake(t *testing.T) {
	page, makefile := contributing(t)
	for _, a := range assignment.FindAllStringSubmatch(page, -1) {
		if !regexp.MustCompile(`\b` + a[1] + `(\s*\?=\s*|=|\),)` + a[2] + `\b`).MatchString(makefile) {
			t.Errorf("docs/contributing.md: the Makefile has no %s=%s", a[1], a[2])
		}
	}
	for _, install := range aptPackage.FindAllStringSubmatch(makefile, -1) {
		for _, name := range strings.Fields(install[1]) {
			if name[0] != '-' && !strings.Contains(page, "`"+name+"`") {
				t.Errorf("docs/contributing.md: lacks the package `%s`", name)
			}
		}
	}
}

// TestPlacesToEdit checks the places that the page names as `Name` in
// `file.go`.
func TestPlacesToEdit(t *testing.T) {
	page, _ := contributing(t)
	places := whereIsIt.FindAllStringSubmatch(page, -1)
	if len(places) < 3 {
		t.Errorf("found only %q", places)
	}
	for _, place := range places {
		if !regexp.MustCompile(`\b` + place[1] + `\b`).MatchString(read(t, filepath.Join(root, place[2]))) {
			t.Errorf("docs/contributing.md: there is no %s in %s", place[1], place[2])
		}
	}
}

// stepsOf returns the targets of make help, and the targets that each of them
// makes in turn.
func stepsOf(makefile string) map[string][]string {
	steps := map[string][]string{}
	rules := rule.FindAllStringSubmatch(makefile, -1)
	for _, r := range rules {
		if r[3] != "" {
			steps[r[1]] = nil
		}
	}
	for target := range steps {
		for _, r := range rules {
			if r[1] != target {
				continue
			}
			words := strings.Fields(r[2])
			for _, call := range makeCall.FindAllStringSubmatch(r[4], -1) {
				words = append(words, strings.Fields(call[1])...)
			}
			for _, word := range words {
				if _, ok := steps[word]; ok {
					steps[target] = append(steps[target], word)
				}
			}
		}
	}
	return steps
}

// targets returns the make targets that a text names.
func targets(text string) []string {
	var found []string
	for _, step := range makeStep.FindAllStringSubmatch(text, -1) {
		found = append(found, step[1])
	}
	return found
}
