{
  const figure = document.currentScript.parentElement;
  const all = (selector) => [...figure.querySelectorAll(selector)];
  const [logits, range, shown, entropy] = [
    JSON.parse(figure.querySelector("script[type='application/json']").textContent),
    ...["input[type=range]", ".slider-temperature output", ".slider-entropy"].map((one) => figure.querySelector(one)),
  ];
  const soften = (z, T) => {
    const largest = Math.max(...z);
    const powers = z.map((logit) => Math.exp((logit - largest) / T));
    const sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  };
  const draw = () => {
    const T = Number((10 ** range.value).toPrecision(2));
    const p = soften(logits[figure.querySelector("input[type=radio]:checked").value], T);
    all("tr").forEach((row, digit) => {
      row.querySelector("span").style.width = `${100 * p[digit]}%`;
      row.lastElementChild.textContent = p[digit].toFixed(4);
    });
    entropy.textContent = p.reduce((bits, x) => bits - (x && x * Math.log2(x)), 0).toFixed(3);
    shown.textContent = T;
    range.setAttribute("aria-valuetext", `T = ${T}`);
  };
  all("input").forEach((input) => {
    input.disabled = false;
    input.addEventListener("input", draw);
  });
  draw();
}
