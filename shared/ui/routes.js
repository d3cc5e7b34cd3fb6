// Where in the console one is: `#/view?name=value`, so that every view can be linked.

/** The address of a view. */
export function link(view, named = {}) {
  const pairs = Object.entries(named).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const written = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `#/${view}${written.length === 0 ? "" : `?${written.join("&")}`}`;
}

/** Goes to a view. */
export function go(view, named) {
  location.hash = link(view, named);
}

/** The view of the present address, and its parameters. */
export function here() {
  const [view, rest = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  // Written by `link`, so a `+` is a `+`.
  return { view, params: new URLSearchParams(rest.replaceAll("+", "%2B")) };
}
