// Texts whose contrast against their ground is below 4.5 to 1: relative luminance as WCAG 2.2 defines it.
(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = rgb(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const poor = new Set();
  for (const each of document.querySelectorAll("body *")) {
    if (!each.offsetParent || ![...each.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
    const a = luminance(rgb(getComputedStyle(each).color)), b = luminance(ground(each));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.add(`${each.tagName}.${each.className} ${ratio.toFixed(2)}`);
  }
  return [...poor];
})()
