// What is wrong with how the page looks just now, as a list of sentences.

const found = [];
const wide = document.documentElement.clientWidth;

function named(element) {
  const text = (element.textContent || element.getAttribute("aria-label") || "").trim();
  return `${element.tagName.toLowerCase()}.${element.getAttribute("class") ?? ""} "${text.slice(0, 40)}"`;
}

function isSeen(element) {
  const box = element.getBoundingClientRect();
  if (element.closest(".away, .skip, .tip, [hidden]") !== null || box.width < 1) return false;
  return element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
}

/** Whether it can be reached by scrolling a part of the page sideways. */
function isScrolled(element) {
  for (let at = element; at !== null; at = at.parentElement) {
    if (["auto", "scroll"].includes(getComputedStyle(at).overflowX)) return true;
  }
  return false;
}

function parts(colour) {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return { alpha, rgb: [red, green, blue] };
}

/** WCAG 2.2, relative luminance. */
function luminance(rgb) {
  const [red, green, blue] = rgb.map((each) => (each / 255 <= 0.04045 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** What a text stands on: in the picture the box of its service. */
function ground(element) {
  const box = element.closest(".node")?.querySelector("rect");
  if (box) return parts(getComputedStyle(box).fill).rgb;
  for (let at = element; at !== null; at = at.parentElement) {
    const { alpha, rgb } = parts(getComputedStyle(at).backgroundColor);
    if (alpha === 1) return rgb;
  }
  return [255, 255, 255];
}

function contrast(element) {
  const style = getComputedStyle(element);
  const text = parts(element instanceof SVGElement ? style.fill : style.color).rgb;
  const [light, dark] = [luminance(text), luminance(ground(element))].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

if (document.documentElement.scrollWidth > wide) found.push(`the page is ${document.documentElement.scrollWidth} wide, and the screen ${wide}`);
for (const element of document.querySelectorAll("body *")) {
  if (!isSeen(element)) continue;
  const box = element.getBoundingClientRect();
  if ((box.right > wide + 1 || box.left < -1) && !isScrolled(element)) found.push(`${named(element)} is cut off: from ${box.left} to ${box.right}`);
  const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "");
  if (hasText && contrast(element) < 4.5) found.push(`${named(element)} is hard to read: ${contrast(element).toFixed(1)}`);
  const isPressed = element.matches("button, .button, input, select, textarea, summary, #nav a, .node");
  if (isPressed && (box.height < 24 || box.width < 24)) found.push(`${named(element)} is hard to hit: ${box.width} by ${box.height}`);
  const hasName = element.labels?.length > 0 || element.hasAttribute("aria-label") || element.textContent.trim() !== "";
  if (isPressed && !hasName) found.push(`${named(element)} has no name`);
}
return found;
